// vocab_log_prob: log-prob and entropy of logits whose columns are split over ranks. Each shard reads
// its columns once for the statistics (V s / ranks bytes) and once for the gradient; the merge reads
// 20 bytes a row and shard.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "vocab_log_prob.cpp"
#include "hwy/foreach_target.h"

#include "dispatch.h"
#include "parallel.h"
#include "simd/softmax_row-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

bool SkippedRow(const polka_vocab_log_prob_args& a, int64_t r) { return a.targets.data != 0 && Skipped(a.targets, r); }

// The row with its target, where that is one of the shard's columns.
SoftmaxRow ShardRow(const polka_vocab_log_prob_args& a, int64_t r) {
  SoftmaxRow row = MakeSoftmaxRow(a.logits, a.softmax, r, -1);
  if (a.targets.data == 0) return row;
  const int64_t t = Target(a.targets, r) - a.first_column;
  row.target = t >= 0 && t < row.columns ? t : -1;
  return row;
}

void VocabStatistics(polka_vocab_log_prob_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = reinterpret_cast<float*>(a.statistics) + r * POLKA_SHARD_STATISTICS;
      if (SkippedRow(a, r)) {
        out[0] = out[1] = out[2] = out[3] = 0;
        out[4] = -1;
        continue;
      }
      const SoftmaxRow row = ShardRow(a, r);
      TileStats total = EmptyTile();
      for (int64_t i = 0; i < TileCount(row.columns); ++i) {
        total = MergeTiles(row, total, ComputeTile(row, i, {true, false, false}));
      }
      out[0] = total.stats.max;
      out[1] = total.stats.rest;
      out[2] = total.stats.moment;
      out[3] = row.target >= 0 ? TargetLogit(row) : -INFINITY;
      out[4] = a.targets.data == 0 ? 2 : row.target >= 0 ? 1 : 0;
    }
  };
  ParallelFor(threads, a.logits.rows, RowsPerChunk(a.logits.cols * DtypeBytes(a.logits.dtype)), rows);
}

void VocabBackward(polka_vocab_log_prob_args& a, int32_t threads) {
  a.exec.ran_target = kThisTarget;
  const auto at = [](uint64_t address, int64_t r) {
    return address == 0 ? 0.0f : reinterpret_cast<const float*>(address)[r];
  };
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (SkippedRow(a, r)) {
        ZeroRow(a.d_logits, r, 0);
        continue;
      }
      const SoftmaxRow row = ShardRow(a, r);
      // A target at -inf gives no gradient, to no shard.
      const float d_log_prob = a.d_log_prob == 0 || at(a.log_prob, r) == -INFINITY ? 0 : at(a.d_log_prob, r);
      const SoftmaxUpstream up = {at(a.max, r),
                                  at(a.log_sum, r),
                                  at(a.entropy, r),
                                  1,
                                  d_log_prob,
                                  at(a.d_entropy, r),
                                  0,
                                  GradientScale(a.gradient_scale)};
      for (int64_t i = 0; i < TileCount(row.columns); ++i) {
        GradientTile(row, i, up, RowAddress(a.d_logits, r), a.d_logits.dtype);
      }
      ZeroRow(a.d_logits, r, row.columns);
    }
  };
  ParallelFor(threads, a.logits.rows, RowsPerChunk(a.logits.cols * DtypeBytes(a.logits.dtype)), rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

#include "number.inl"
#include "softmax.inl"

constexpr Kernel<void (*)(polka_vocab_log_prob_args&, int32_t)> kStatistics = {
    N_SSE4::VocabStatistics, N_AVX2::VocabStatistics, N_AVX3::VocabStatistics};
constexpr Kernel<void (*)(polka_vocab_log_prob_args&, int32_t)> kBackward = {
    N_SSE4::VocabBackward, N_AVX2::VocabBackward, N_AVX3::VocabBackward};

polka_status CheckShard(const polka_vocab_log_prob_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "vocab_log_prob"));
  POLKA_TRY(CheckExec(a->exec));
  POLKA_TRY(CheckMatrix(a->logits, "logits"));
  POLKA_TRY(CheckSoftmax(a->softmax, a->logits, "softmax"));
  const int64_t columns = ValidVocab(a->softmax, a->logits);
  if (a->first_column < 0 || a->first_column > a->vocabulary || columns > a->vocabulary - a->first_column) {
    return Fail(POLKA_INVALID_ARGUMENT, "first_column: %lld with %lld columns does not lie in the vocabulary of %lld",
                static_cast<long long>(a->first_column), static_cast<long long>(columns),
                static_cast<long long>(a->vocabulary));
  }
  if (a->targets.data == 0) return POLKA_OK;
  polka_softmax whole = a->softmax;
  whole.valid_vocab = a->vocabulary;
  return CheckTargets(a->targets, whole, a->logits);
}

int32_t ThreadsOf(const polka_vocab_log_prob_args& a) {
  return ThreadsFor(a.exec, a.logits.rows * a.logits.cols * DtypeBytes(a.logits.dtype));
}

// One row's shards in order: their statistics together, and where the target was.
struct MergedRow {
  SoftmaxStats stats;
  float target;
  int64_t found, skipped, without;
};

MergedRow MergeRow(const polka_vocab_log_prob_args& a, int64_t r) {
  MergedRow row = {EmptyStats(), -INFINITY, 0, 0, 0};
  for (int64_t s = 0; s < a.shards; ++s) {
    const float* in = reinterpret_cast<const float*>(a.statistics) + (s * a.logits.rows + r) * POLKA_SHARD_STATISTICS;
    row.stats = Merge(row.stats, SoftmaxStats{in[0], in[1], in[2], 0, 0}, 1 / Temperature(a.softmax, r), 0);
    if (in[4] == 1) row.target = in[3];
    row.found += in[4] == 1;
    row.skipped += in[4] == -1;
    row.without += in[4] == 2;
  }
  return row;
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_vocab_log_prob_statistics(polka_vocab_log_prob_args* args) {
  using namespace polka;
  POLKA_TRY(CheckShard(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  const int64_t rows = args->logits.rows;
  POLKA_TRY(CheckArray(args->statistics, rows * POLKA_SHARD_STATISTICS, 4, "statistics"));
  if (rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kStatistics.For(target)(*args, ThreadsOf(*args));
  return POLKA_OK;
}

extern "C" polka_status polka_vocab_log_prob_merge(polka_vocab_log_prob_args* args) {
  using namespace polka;
  const polka_vocab_log_prob_args* a = args;
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "vocab_log_prob"));
  POLKA_TRY(CheckExec(a->exec));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckMatrix(a->logits, "logits"));
  POLKA_TRY(CheckSoftmax(a->softmax, a->logits, "softmax"));
  const int64_t rows = a->logits.rows;
  int64_t count;
  if (a->shards < 1 || __builtin_mul_overflow(rows * POLKA_SHARD_STATISTICS, a->shards, &count)) {
    return Fail(POLKA_INVALID_ARGUMENT, "shards: %lld is not at least 1, or too many",
                static_cast<long long>(a->shards));
  }
  POLKA_TRY(CheckArray(a->statistics, count, 4, "statistics"));
  for (int64_t r = 0; r < rows; ++r) {
    const MergedRow row = MergeRow(*a, r);
    if (row.skipped == a->shards || row.without == a->shards || (row.found == 1 && row.skipped + row.without == 0)) {
      continue;
    }
    return Fail(POLKA_OUT_OF_RANGE, "statistics: row %lld has its target in %lld of %lld shards, %lld skip it",
                static_cast<long long>(r), static_cast<long long>(row.found), static_cast<long long>(a->shards),
                static_cast<long long>(row.skipped));
  }
  for (int64_t r = 0; r < rows; ++r) {
    const MergedRow row = MergeRow(*a, r);
    const SoftmaxOutputs out = row.skipped > 0 ? SoftmaxOutputs{}
                                               : FinishSoftmax(row.stats, EmptyShape(), row.found == 1, row.target,
                                                               Temperature(a->softmax, r), 0, {true, false, false});
    const auto put = [r](uint64_t address, float value) {
      if (address != 0) reinterpret_cast<float*>(address)[r] = value;
    };
    put(a->log_prob, out.log_prob);
    put(a->max, out.max);
    put(a->log_sum, out.log_sum);
    put(a->lse, out.lse);
    put(a->entropy, out.entropy);
  }
  return POLKA_OK;
}

extern "C" polka_status polka_vocab_log_prob_backward(polka_vocab_log_prob_args* args) {
  using namespace polka;
  POLKA_TRY(CheckShard(args));
  const polka_vocab_log_prob_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckGradient(a.logits, a.d_logits, a.gradient_scale, "d_logits"));
  if (a.logits.rows == 0) return POLKA_OK;
  if (a.max == 0 || a.log_sum == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "max, log_sum: the backward pass needs both from the merge");
  }
  if (a.d_log_prob != 0 && (a.log_prob == 0 || a.targets.data == 0)) {
    return Fail(POLKA_INVALID_ARGUMENT, "log_prob, targets: d_log_prob needs both");
  }
  if (a.d_entropy != 0 && a.entropy == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "entropy: d_entropy needs the entropy of the merge");
  }
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  kBackward.For(target)(*args, ThreadsOf(a));
  return POLKA_OK;
}
#endif  // HWY_ONCE
