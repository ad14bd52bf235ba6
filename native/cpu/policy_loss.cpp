// policy_loss: logits, or the log-probs that the caller holds -> loss, metrics and gradients. The
// objective itself runs in token_objective.cpp; this file is what happens to the logits around it.
//
// Under a token ratio each row is read once from memory (V s bytes): its log-prob decides its
// gradient, which is written (V s bytes) while the row is still in the cache. A sequence ratio, or an
// off-policy mask, needs every log-prob of a sequence first: the rows are read twice; so are few, whose
// tiles are shared out among the threads. All ways give the same bits.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "policy_loss.cpp"
#include "hwy/foreach_target.h"

#include "cuda_backend.h"
#include "dispatch.h"
#include "parallel.h"
#include "policy_loss_memory.h"
#include "simd/softmax_row-inl.h"
#include "status.h"
#include "token_objective.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

SoftmaxRow RowOf(const polka_policy_loss_args& a, int64_t r) {
  return MakeSoftmaxRow(a.logits, a.softmax, r, Target(a.targets, r));
}

constexpr SoftmaxWants kWants = {true, false, false};

void Keep(const PolicyLossMemory& m, int64_t r, const SoftmaxOutputs& out) {
  m.log_prob[r] = out.log_prob;
  m.entropy[r] = out.entropy;
  if (m.max != nullptr) {
    m.max[r] = out.max;
    m.log_sum[r] = out.log_sum;
  }
}

// A row whose log-prob has no gradient is not looked at again.
bool IsZero(const TokenGradient& g) { return g.d_log_prob == 0 && g.d_entropy == 0; }

SoftmaxUpstream UpstreamOf(float max, float log_sum, float entropy, const TokenGradient& g) {
  // Token gradients carry the gradient scale already.
  return {max, log_sum, entropy, 0, g.d_log_prob, g.d_entropy, 0, 1};
}

void TileGradient(const polka_policy_loss_args& a, int64_t r, int64_t tile, const SoftmaxUpstream& up) {
  GradientTile(RowOf(a, r), tile, up, RowAddress(a.d_logits, r), a.d_logits.dtype);
}

// Token ratio: forward and gradient of a row, one after the other.
void FusedRows(const polka_policy_loss_args& a, const PolicyLossMemory& m, int32_t threads) {
  const TokenObjective objective = m.Objective(a);
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (Skipped(a.targets, r)) {
        Keep(m, r, {});
        if (a.d_logits.data != 0) ZeroRow(a.d_logits, r, 0);
        continue;
      }
      const SoftmaxRow row = RowOf(a, r);
      const SoftmaxOutputs out = ForwardRow(row, kWants);
      Keep(m, r, out);
      if (a.d_logits.data == 0) continue;
      const TokenGradient g = RowGradient(objective, r, out.log_prob, out.entropy);
      if (IsZero(g)) {
        ZeroRow(a.d_logits, r, 0);
        continue;
      }
      const SoftmaxUpstream up = UpstreamOf(out.max, out.log_sum, out.entropy, g);
      for (int64_t t = 0; t < TileCount(row.columns); ++t) TileGradient(a, r, t, up);
      ZeroRow(a.d_logits, r, row.columns);
    }
  };
  ParallelFor(threads, a.logits.rows, RowsPerChunk(2 * a.logits.cols * DtypeBytes(a.logits.dtype)), rows);
  RunTokenObjective(objective, nullptr, nullptr);
}

// The same in two passes over the rows, by tile.
void TwoPasses(const polka_policy_loss_args& a, const PolicyLossMemory& m, int32_t threads) {
  const int64_t tiles = TileCount(ValidVocab(a.softmax, a.logits));
  const int64_t items = a.logits.rows * tiles;
  const int64_t row_bytes = a.logits.cols * DtypeBytes(a.logits.dtype);
  if (m.partial == nullptr) {
    auto rows = [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        Keep(m, r, Skipped(a.targets, r) ? SoftmaxOutputs{} : ForwardRow(RowOf(a, r), kWants));
      }
    };
    ParallelFor(threads, a.logits.rows, RowsPerChunk(row_bytes), rows);
  } else {
    TileStats* partial = static_cast<TileStats*>(m.partial);
    auto statistics = [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = i / tiles;
        if (!Skipped(a.targets, r)) partial[i] = ComputeTile(RowOf(a, r), i % tiles, kWants);
      }
    };
    ParallelFor(threads, items, 1, statistics);
    for (int64_t r = 0; r < a.logits.rows; ++r) {
      if (Skipped(a.targets, r)) {
        Keep(m, r, {});
        continue;
      }
      const SoftmaxRow row = RowOf(a, r);
      TileStats total = EmptyTile();
      for (int64_t t = 0; t < tiles; ++t) total = MergeTiles(row, total, partial[r * tiles + t]);
      Keep(m, r, FinishRow(row, total, kWants));
    }
  }
  RunTokenObjective(m.Objective(a), m.d_log_prob, m.d_entropy);
  if (a.d_logits.data == 0) return;
  auto gradients = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / tiles, tile = i % tiles;
      const TokenGradient g = {m.d_log_prob[r], m.d_entropy[r], true};
      if (Skipped(a.targets, r) || IsZero(g)) {
        if (tile == 0) ZeroRow(a.d_logits, r, 0);
        continue;
      }
      TileGradient(a, r, tile, UpstreamOf(m.max[r], m.log_sum[r], m.entropy[r], g));
      if (tile == 0) ZeroRow(a.d_logits, r, ValidVocab(a.softmax, a.logits));
    }
  };
  ParallelFor(threads, items, m.partial != nullptr ? 1 : tiles * RowsPerChunk(row_bytes), gradients);
}

void PolicyLoss(polka_policy_loss_args& a, const PolicyLossMemory& m, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  if (m.max == nullptr) {
    FusedRows(a, m, threads);
  } else {
    TwoPasses(a, m, threads);
  }
}

int64_t TileBytes() { return sizeof(TileStats); }

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_policy_loss_args&, const PolicyLossMemory&, int32_t)> kPolicyLoss = {
    N_SSE4::PolicyLoss, N_AVX2::PolicyLoss, N_AVX3::PolicyLoss};

// How a call runs, and where its scratch memory goes. All offsets are multiples of 64 bytes.
struct PolicyLossPlan {
  int32_t threads;
  bool two_passes;
  bool by_tile;
  int64_t row_array;  // bytes of one f32 array over the rows
  int64_t objective;  // bytes of the token objective's own scratch
  int64_t bytes;      // of everything
};

int64_t Aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Arrays over the rows that the workspace holds: log-prob and entropy where the caller takes
// neither, max, log_sum and the two token gradients where rows are passed over twice.
int64_t RowArrays(const polka_policy_loss_args& a, bool two_passes) {
  return (a.log_prob == 0) + (a.entropy == 0) + (two_passes ? 4 : 0);
}

PolicyLossPlan PlanPolicyLoss(const polka_policy_loss_args& a) {
  const int64_t rows = a.logits.rows, tiles = TileCount(ValidVocab(a.softmax, a.logits));
  const int64_t reads = a.d_logits.data == 0 ? 1 : 2;
  PolicyLossPlan plan = {};
  plan.threads = ThreadsFor(a.exec, reads * rows * a.logits.cols * DtypeBytes(a.logits.dtype));
  plan.by_tile = plan.threads > 1 && tiles > 1 && rows < 4 * plan.threads;
  plan.two_passes = plan.by_tile || ObjectiveNeedsSequences(a.objective);
  plan.row_array = Aligned(rows * 4);
  plan.objective = Aligned(TokenObjectiveBytes(a));
  plan.bytes = plan.objective + RowArrays(a, plan.two_passes) * plan.row_array +
               (plan.by_tile ? rows * tiles * N_SSE4::TileBytes() : 0);
  return plan;
}

PolicyLossMemory MemoryOf(const polka_policy_loss_args& a, const PolicyLossPlan& plan) {
  uint64_t next = a.exec.workspace + static_cast<uint64_t>(plan.objective);
  const auto array = [&](uint64_t given) {
    if (given != 0) return reinterpret_cast<float*>(given);
    float* p = reinterpret_cast<float*>(next);
    next += static_cast<uint64_t>(plan.row_array);
    return p;
  };
  PolicyLossMemory m = {};
  m.scratch = a.exec.workspace;
  m.log_prob = array(a.log_prob);
  m.entropy = array(a.entropy);
  if (plan.two_passes) {
    m.max = array(0);
    m.log_sum = array(0);
    m.d_log_prob = array(0);
    m.d_entropy = array(0);
  }
  if (plan.by_tile) m.partial = reinterpret_cast<void*>(next);
  return m;
}

// Far beyond any memory, and small enough for sizes in bytes.
constexpr int64_t kMaxRows = int64_t{1} << 48;

polka_status CheckSizes(const polka_policy_loss_args* args, const char* name) {
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, name));
  POLKA_TRY(CheckExec(args->exec, true));
  POLKA_TRY(CheckOption(args->objective.ratio_level, POLKA_RATIO_SEQUENCE, "ratio_level"));
  const int64_t rows = args->logits.rows, sequences = args->batch.sequences;
  if (rows < 0 || rows > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "rows: %lld is outside [0, 2^48]", static_cast<long long>(rows));
  }
  if (sequences < 0 || sequences > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "sequences: %lld is outside [0, 2^48]", static_cast<long long>(sequences));
  }
  return POLKA_OK;
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_policy_loss_workspace(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss"));
  POLKA_TRY(CheckMatrix(args->logits, "logits"));
  POLKA_TRY(CheckSoftmax(args->softmax, args->logits, "softmax"));
  if (!OnCpu(args->exec)) return kCudaBackend.policy_loss_workspace(args);
  args->exec.workspace_needed = PlanPolicyLoss(*args).bytes;
  return POLKA_OK;
}

extern "C" polka_status polka_policy_loss(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss"));
  const polka_policy_loss_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckMatrix(a.logits, "logits"));
  POLKA_TRY(CheckSoftmax(a.softmax, a.logits, "softmax"));
  POLKA_TRY(CheckTokenObjective(a));
  POLKA_TRY(CheckArray(a.log_prob, 0, 4, "log_prob"));
  POLKA_TRY(CheckArray(a.entropy, 0, 4, "entropy"));
  if (a.d_logits.data != 0) POLKA_TRY(CheckGradient(a.logits, a.d_logits, a.gradient_scale, "d_logits"));
  POLKA_TRY(CheckTargets(a.targets, a.softmax, a.logits, OnCpu(a.exec)));
  if (!OnCpu(a.exec)) return kCudaBackend.policy_loss(args);
  POLKA_TRY(CheckRowTemperatures(a.softmax, a.targets, a.logits.rows, "softmax"));
  const PolicyLossPlan plan = PlanPolicyLoss(a);
  POLKA_TRY(CheckWorkspace(a.exec, plan.bytes));
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kPolicyLoss.For(target)(*args, MemoryOf(a, plan), plan.threads);
  return POLKA_OK;
}

extern "C" polka_status polka_policy_loss_from_log_prob_workspace(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss_from_log_prob"));
  if (!OnCpu(args->exec)) return kCudaBackend.policy_loss_from_log_prob_workspace(args);
  args->exec.workspace_needed = TokenObjectiveBytes(*args);
  return POLKA_OK;
}

extern "C" polka_status polka_policy_loss_from_log_prob(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss_from_log_prob"));
  const polka_policy_loss_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckTokenObjective(a));
  const bool has_targets = a.targets.data != 0;
  if (has_targets && a.targets.dtype != POLKA_I64 && a.targets.dtype != POLKA_I32) {
    return Fail(POLKA_INVALID_ARGUMENT, "targets: dtype %s (%d) is not int64 or int32", DtypeName(a.targets.dtype),
                a.targets.dtype);
  }
  POLKA_TRY(CheckArray(a.targets.data, 0, DtypeBytes(a.targets.dtype), "targets"));
  POLKA_TRY(CheckArray(a.log_prob, a.logits.rows, 4, "log_prob"));
  POLKA_TRY(CheckArray(a.entropy, ObjectiveNeedsEntropy(a.objective) ? a.logits.rows : 0, 4, "entropy"));
  POLKA_TRY(CheckArray(a.d_log_prob, 0, 4, "d_log_prob"));
  POLKA_TRY(CheckArray(a.d_entropy, 0, 4, "d_entropy"));
  if (!OnCpu(a.exec)) return kCudaBackend.policy_loss_from_log_prob(args);
  POLKA_TRY(CheckWorkspace(a.exec, TokenObjectiveBytes(a)));
  RunTokenObjective({args, reinterpret_cast<const float*>(a.log_prob), reinterpret_cast<const float*>(a.entropy),
                     has_targets, a.exec.workspace},
                    reinterpret_cast<float*>(a.d_log_prob), reinterpret_cast<float*>(a.d_entropy));
  return POLKA_OK;
}
#endif  // HWY_ONCE
