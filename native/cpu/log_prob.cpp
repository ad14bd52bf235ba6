// log_prob: [rows, vocabulary] logits -> per-row log-probs and statistics, and back.
//
// Forward reads each logit once: V s bytes per row. Backward reads and writes each once. Rows are
// shared out among threads; where rows are few, tiles of rows are, with their statistics merged in
// column order afterwards, so that the bits do not depend on how the work was shared.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "log_prob.cpp"
#include "hwy/foreach_target.h"

#include "cuda_backend.h"
#include "dispatch.h"
#include "parallel.h"
#include "simd/softmax_row-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

float& At(uint64_t address, int64_t row) { return reinterpret_cast<float*>(address)[row]; }

void Put(uint64_t address, int64_t row, float value) {
  if (address != 0) At(address, row) = value;
}

SoftmaxWants WantsOf(const polka_log_prob_forward_args& a) {
  return {a.entropy != 0, a.sum_p2 != 0,
          a.mean_logit != 0 || a.self_certainty != 0 || a.finite_columns != 0 || a.top1 != 0 || a.top2 != 0};
}

SoftmaxRow ForwardRowOf(const polka_log_prob_forward_args& a, int64_t r) {
  SoftmaxRow row = MakeSoftmaxRow(a.logits, a.softmax, r, Target(a.targets, r));
  if (a.second_log_prob != 0) row.second_temperature = a.second_temperature;
  return row;
}

void PutRow(const polka_log_prob_forward_args& a, int64_t r, const SoftmaxOutputs& out) {
  Put(a.log_prob, r, out.log_prob);
  Put(a.max, r, out.max);
  Put(a.log_sum, r, out.log_sum);
  Put(a.lse, r, out.lse);
  Put(a.entropy, r, out.entropy);
  Put(a.sum_p2, r, out.sum_p2);
  Put(a.mean_logit, r, out.mean_logit);
  Put(a.self_certainty, r, out.self_certainty);
  Put(a.finite_columns, r, out.finite);
  Put(a.top1, r, out.top1);
  Put(a.top2, r, out.top2);
  Put(a.second_log_prob, r, out.second_log_prob);
}

void LogProbForward(polka_log_prob_forward_args& a, int32_t threads, bool by_tile) {
  a.exec.ran_target = kThisTarget;
  const SoftmaxWants wants = WantsOf(a);
  const int64_t row_bytes = a.logits.cols * DtypeBytes(a.logits.dtype);
  if (!by_tile) {
    auto rows = [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        PutRow(a, r, Skipped(a.targets, r) ? SoftmaxOutputs{} : ForwardRow(ForwardRowOf(a, r), wants));
      }
    };
    ParallelFor(threads, a.logits.rows, RowsPerChunk(row_bytes), rows);
    return;
  }
  const int64_t tiles = TileCount(ValidVocab(a.softmax, a.logits));
  TileStats* partial = reinterpret_cast<TileStats*>(a.exec.workspace);
  auto work = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / tiles;
      if (!Skipped(a.targets, r)) partial[i] = ComputeTile(ForwardRowOf(a, r), i % tiles, wants);
    }
  };
  ParallelFor(threads, a.logits.rows * tiles, 1, work);
  for (int64_t r = 0; r < a.logits.rows; ++r) {
    if (Skipped(a.targets, r)) {
      PutRow(a, r, {});
      continue;
    }
    const SoftmaxRow row = ForwardRowOf(a, r);
    TileStats total = EmptyTile();
    for (int64_t t = 0; t < tiles; ++t) total = MergeTiles(row, total, partial[r * tiles + t]);
    PutRow(a, r, FinishRow(row, total, wants));
  }
}

void LogProbBackward(polka_log_prob_backward_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  const int64_t tiles = TileCount(ValidVocab(a.softmax, a.logits));
  const auto given = [](uint64_t address, int64_t r) { return address == 0 ? 0.0f : At(address, r); };
  // Rows go to a thread whole, unless they are few. In place they always do: only before its first
  // tile is written does a row still have its target's logit.
  const bool in_place = a.d_logits.data == a.logits.data;
  const bool by_tile = a.logits.rows < 4 * threads && !in_place;
  auto work = [&](int64_t begin, int64_t end) {
    bool reachable = true;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / tiles, tile = i % tiles;
      if (Skipped(a.targets, r)) {
        if (tile == 0) ZeroRow(a.d_logits, r, 0);
        continue;
      }
      const SoftmaxRow row = MakeSoftmaxRow(a.logits, a.softmax, r, Target(a.targets, r));
      if (by_tile || tile == 0) reachable = TargetLogit(row) != -INFINITY;
      // The log-prob of a target at -inf is -inf whatever the other logits are: no gradient from it.
      const float d_log_prob = reachable ? given(a.d_log_prob, r) : 0;
      const SoftmaxUpstream up = {
          At(a.max, r), At(a.log_sum, r),      given(a.entropy, r),          given(a.finite_columns, r),
          d_log_prob,   given(a.d_entropy, r), given(a.d_self_certainty, r), GradientScale(a.gradient_scale)};
      GradientTile(row, tile, up, RowAddress(a.d_logits, r), a.d_logits.dtype);
      if (tile == tiles - 1) ZeroRow(a.d_logits, r, row.columns);
    }
  };
  const int64_t rows_at_a_time =
      a.logits.rows < 4 * threads ? 1 : RowsPerChunk(a.logits.cols * DtypeBytes(a.logits.dtype));
  const int64_t chunk = by_tile ? 1 : tiles * rows_at_a_time;
  ParallelFor(threads, a.logits.rows * tiles, chunk, work);
}

// What one tile of one row needs as scratch between the two steps of a forward by tiles.
int64_t TileStatsBytes() { return sizeof(TileStats); }

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_log_prob_forward_args&, int32_t, bool)> kForward = {
    N_SSE4::LogProbForward, N_AVX2::LogProbForward, N_AVX3::LogProbForward};
constexpr Kernel<void (*)(polka_log_prob_backward_args&, int32_t)> kBackward = {
    N_SSE4::LogProbBackward, N_AVX2::LogProbBackward, N_AVX3::LogProbBackward};

polka_status CheckForward(const polka_log_prob_forward_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "log_prob_forward"));
  POLKA_TRY(CheckExec(a->exec, true));
  POLKA_TRY(CheckMatrix(a->logits, "logits"));
  POLKA_TRY(CheckSoftmax(a->softmax, a->logits, "softmax"));
  if (a->second_log_prob != 0 && !IsTemperature(a->second_temperature)) {
    return Fail(POLKA_INVALID_ARGUMENT, "second_temperature: %g is not finite and >= 2^-126",
                static_cast<double>(a->second_temperature));
  }
  return POLKA_OK;
}

struct Plan {
  int32_t threads;
  bool by_tile;
  int64_t workspace;
};

Plan PlanForward(const polka_log_prob_forward_args& a) {
  const int64_t tiles = TileCount(ValidVocab(a.softmax, a.logits));
  const int32_t threads = ThreadsFor(a.exec, a.logits.rows * a.logits.cols * DtypeBytes(a.logits.dtype));
  const bool by_tile = threads > 1 && tiles > 1 && a.logits.rows < 4 * threads;
  return {threads, by_tile, by_tile ? a.logits.rows * tiles * N_SSE4::TileStatsBytes() : 0};
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_log_prob_forward_workspace(polka_log_prob_forward_args* args) {
  using namespace polka;
  POLKA_TRY(CheckForward(args));
  if (!OnCpu(args->exec)) return kCudaBackend.log_prob_forward_workspace(args);
  args->exec.workspace_needed = PlanForward(*args).workspace;
  return POLKA_OK;
}

extern "C" polka_status polka_log_prob_forward(polka_log_prob_forward_args* args) {
  using namespace polka;
  POLKA_TRY(CheckForward(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  if (!OnCpu(args->exec)) return kCudaBackend.log_prob_forward(args);
  const Plan plan = PlanForward(*args);
  POLKA_TRY(CheckWorkspace(args->exec, plan.workspace));
  POLKA_TRY(CheckTargets(args->targets, args->softmax, args->logits));
  POLKA_TRY(CheckRowTemperatures(args->softmax, args->targets, args->logits.rows, "softmax"));
  if (args->logits.rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kForward.For(target)(*args, plan.threads, plan.by_tile);
  return POLKA_OK;
}

extern "C" polka_status polka_log_prob_backward(polka_log_prob_backward_args* args) {
  using namespace polka;
  polka_log_prob_backward_args* a = args;
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "log_prob_backward"));
  POLKA_TRY(CheckExec(a->exec, true));
  a->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckMatrix(a->logits, "logits"));
  POLKA_TRY(CheckSoftmax(a->softmax, a->logits, "softmax"));
  POLKA_TRY(CheckGradient(a->logits, a->d_logits, a->gradient_scale, "d_logits"));
  if (a->logits.rows == 0) return POLKA_OK;
  if (a->max == 0 || a->log_sum == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "max, log_sum: the backward pass needs both from the forward pass");
  }
  if (a->d_entropy != 0 && a->entropy == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "entropy: d_entropy needs the entropy of the forward pass");
  }
  if (a->d_self_certainty != 0 && a->finite_columns == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "finite_columns: d_self_certainty needs it from the forward pass");
  }
  POLKA_TRY(CheckTargets(a->targets, a->softmax, a->logits, OnCpu(a->exec)));
  if (!OnCpu(a->exec)) return kCudaBackend.log_prob_backward(a);
  POLKA_TRY(CheckRowTemperatures(a->softmax, a->targets, a->logits.rows, "softmax"));
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  const int64_t bytes = 2 * a->logits.rows * a->logits.cols * DtypeBytes(a->logits.dtype);
  kBackward.For(target)(*a, ThreadsFor(a->exec, bytes));
  return POLKA_OK;
}
#endif  // HWY_ONCE
