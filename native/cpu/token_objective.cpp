// Phases: (1) per sequence, the mean log-ratio and the gradient through it where the ratio is the
// sequence's, and the counts over sequences; (2) per block of rows, terms, gradients and sums;
// (3) the blocks' sums, in order. Per-row arithmetic is f32, every sum f64. About 40 ns per row:
// the exponentials decide, not the 30 bytes.
#include "token_objective.h"

#include <math.h>

#include "cuda_backend.h"
#include "parallel.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "token_kl.inl"
#include "policy_loss.inl"

// Rows whose sums one thread takes, one after the other. A constant, because it decides the order.
constexpr int64_t kBlockRows = 512;
constexpr int64_t kSequencesPerChunk = 4;
// Memory traffic that takes as long as one row.
constexpr int64_t kRowCostBytes = 400;

// What the tokens of a sequence share under a sequence ratio.
struct SequenceState {
  double mean_log_ratio;
  double d_log_prob;  // through the mean: the same for each of its tokens
  int64_t tokens;
};

struct SequenceCounts {
  int64_t with_tokens, clip_low, clip_high;
};

const float* Floats(uint64_t address) { return reinterpret_cast<const float*>(address); }

int64_t BlockCount(const polka_policy_loss_args& a) { return (a.logits.rows + kBlockRows - 1) / kBlockRows; }

using Row = TokenInputs<float>;

// The batch as the phases read it.
struct Batch {
  const polka_policy_loss_args& a;
  const polka_policy_objective& o;
  const TokenObjective& t;
  const int64_t* offsets;
  polka_policy_loss_metrics* blocks;
  SequenceState* states;
  bool by_sequence;

  explicit Batch(const TokenObjective& objective)
      : a(*objective.args),
        o(a.objective),
        t(objective),
        offsets(reinterpret_cast<const int64_t*>(a.batch.offsets)),
        blocks(reinterpret_cast<polka_policy_loss_metrics*>(objective.scratch)),
        states(reinterpret_cast<SequenceState*>(blocks + BlockCount(a))),
        by_sequence(o.ratio_level == POLKA_RATIO_SEQUENCE) {}

  // The sequence that owns the row: the last one that starts at or before it.
  int64_t SequenceOf(int64_t row) const {
    int64_t low = 0, high = a.batch.sequences;
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (offsets[middle] <= row ? low : high) = middle;
    }
    return low;
  }

  static double Weight(const polka_normalizer& n, int64_t sequence) {
    const int64_t* tokens = reinterpret_cast<const int64_t*>(n.sequence_tokens);
    return TokenWeight(n.divisor, tokens == nullptr ? 1 : tokens[sequence]);
  }

  TokenWeights WeightsOf(int64_t sequence) const {
    return {Weight(a.normalizer, sequence), Weight(a.entropy_normalizer, sequence)};
  }

  bool SkippedRow(int64_t row) const { return t.read_targets ? Skipped(a.targets, row) : Masked(a.targets.mask, row); }

  Row Read(int64_t row, int64_t sequence, float log_prob) const {
    const float advantage = Floats(a.batch.advantages)[a.batch.advantage_per_sequence ? sequence : row];
    const float old = a.batch.old_log_prob == 0 ? log_prob : Floats(a.batch.old_log_prob)[row];
    const float ref = o.kl_estimator == POLKA_KL_NONE ? 0.0f : Floats(a.batch.ref_log_prob)[row];
    const float importance = a.batch.weights == 0 ? 1.0f : Floats(a.batch.weights)[row];
    return PrepareToken(o, log_prob, old, ref, advantage, importance);
  }

  Ratio<float> SharedRatio(int64_t sequence) const {
    return SequenceRatio(static_cast<float>(states[sequence].mean_log_ratio), o.sequence_max_log_ratio);
  }

  TokenTerms<float> Terms(int64_t sequence, const Row& r, float entropy) const {
    return TermsOf(o, r, by_sequence ? SharedRatio(sequence) : Ratio<float>{}, entropy);
  }

  TokenGradient Gradient(int64_t sequence, const TokenTerms<float>& terms, TokenWeights n) const {
    const double through_mean = by_sequence ? states[sequence].d_log_prob : 0;
    const double scale = static_cast<double>(GradientScale(a.gradient_scale));
    return {static_cast<float>(scale * LogProbGradient(o, terms, n, through_mean)),
            static_cast<float>(scale * EntropyGradient(o, n)), true};
  }
};

// Calls token(row's inputs) for the tokens of a sequence that count, until it returns false.
template <class Token>
void ForEachToken(const Batch& b, int64_t sequence, const Token& token) {
  for (int64_t row = b.offsets[sequence]; row < b.offsets[sequence + 1]; ++row) {
    if (b.SkippedRow(row)) continue;
    const Row r = b.Read(row, sequence, b.t.log_prob[row]);
    if (r.counted && !token(r)) return;
  }
}

bool HasToken(const Batch& b, int64_t sequence) {
  bool found = false;
  ForEachToken(b, sequence, [&](const Row&) {
    found = true;
    return false;
  });
  return found;
}

// The mean log-ratio of a sequence, then the sum of its tokens' gradients through that mean.
void ComputeSequence(const Batch& b, int64_t sequence, SequenceCounts& counts) {
  SequenceState& state = b.states[sequence];
  state = {0, 0, 0};
  double sum = 0;
  ForEachToken(b, sequence, [&](const Row& r) {
    sum += static_cast<double>(r.log_prob) - static_cast<double>(r.old_log_prob);
    ++state.tokens;
    return true;
  });
  if (state.tokens == 0) return;
  const double tokens = static_cast<double>(state.tokens);
  state.mean_log_ratio = sum / tokens;
  const Ratio<float> ratio = b.SharedRatio(sequence);
  const TokenWeights n = b.WeightsOf(sequence);
  double gradient = 0;
  bool low = false, high = false;
  ForEachToken(b, sequence, [&](const Row& r) {
    const PolicyTerm<float> term = ClippedTerm(b.o, ratio, r.advantage);
    gradient += Weighted(n.loss, static_cast<double>(Scaled(r.importance, term.derivative)));
    low |= term.clip_low;
    high |= term.clip_high;
    return true;
  });
  state.d_log_prob = gradient / tokens;
  counts.with_tokens += 1;
  counts.clip_low += low;
  counts.clip_high += high;
}

SequenceCounts RunSequences(const Batch& b, int32_t threads) {
  SequenceCounts total = {0, 0, 0};
  auto body = [&](int64_t begin, int64_t end) {
    SequenceCounts counts = {0, 0, 0};
    for (int64_t s = begin; s < end; ++s) {
      if (b.by_sequence) {
        ComputeSequence(b, s, counts);
      } else {
        counts.with_tokens += HasToken(b, s);
      }
    }
    // Whole numbers: their sum has no order.
    __atomic_fetch_add(&total.with_tokens, counts.with_tokens, __ATOMIC_RELAXED);
    __atomic_fetch_add(&total.clip_low, counts.clip_low, __ATOMIC_RELAXED);
    __atomic_fetch_add(&total.clip_high, counts.clip_high, __ATOMIC_RELAXED);
  };
  // Looking for a first token is not worth a second thread.
  ParallelFor(b.by_sequence ? threads : 1, b.a.batch.sequences, kSequencesPerChunk, body);
  return total;
}

void RunBlock(const Batch& b, int64_t block, float* d_log_prob, float* d_entropy) {
  polka_policy_loss_metrics& m = b.blocks[block];
  m = EmptyMetrics();
  const int64_t begin = block * kBlockRows;
  const int64_t end = begin + kBlockRows < b.a.logits.rows ? begin + kBlockRows : b.a.logits.rows;
  int64_t sequence = b.SequenceOf(begin);
  TokenWeights n = b.WeightsOf(sequence);
  for (int64_t row = begin; row < end; ++row) {
    if (row >= b.offsets[sequence + 1]) {
      while (row >= b.offsets[sequence + 1]) ++sequence;
      n = b.WeightsOf(sequence);
    }
    TokenGradient gradient = {0, 0, false};
    if (!b.SkippedRow(row)) {
      const Row r = b.Read(row, sequence, b.t.log_prob[row]);
      if (r.non_finite) AddNonFinite(m, row);
      if (r.counted) {
        const TokenTerms<float> terms = b.Terms(sequence, r, b.t.entropy == nullptr ? 0.0f : b.t.entropy[row]);
        AddToken(m, terms, n);
        gradient = b.Gradient(sequence, terms, n);
      }
    }
    if (d_log_prob != nullptr) d_log_prob[row] = gradient.d_log_prob;
    if (d_entropy != nullptr) d_entropy[row] = gradient.d_entropy;
  }
}

polka_status CheckNormalizer(const polka_normalizer& n, const char* name) {
  if (!(n.divisor >= 0) || !isfinite(n.divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: divisor %g is not finite and >= 0", name, n.divisor);
  }
  return CheckArray(n.sequence_tokens, 0, 8, name);
}

polka_status CheckObjective(const polka_policy_objective& o) {
  POLKA_TRY(CheckOption(o.ratio_level, POLKA_RATIO_SEQUENCE, "ratio_level"));
  POLKA_TRY(CheckOption(o.sequence_gradient, POLKA_SEQUENCE_THROUGH_MEAN, "sequence_gradient"));
  POLKA_TRY(CheckOption(o.kl_estimator, POLKA_KL_K3, "kl_estimator"));
  POLKA_TRY(CheckOption(o.kl_gradient_mode, POLKA_KL_DETACHED, "kl_gradient_mode"));
  POLKA_TRY(CheckOption(o.skip_non_finite, 1, "skip_non_finite"));
  POLKA_TRY(CheckBound(o.max_log_ratio, "max_log_ratio"));
  POLKA_TRY(CheckBound(o.sequence_max_log_ratio, "sequence_max_log_ratio"));
  POLKA_TRY(CheckBound(o.k3_max, "k3_max"));
  const double clip_low = o.clip_low, clip_high = o.clip_high, dual_clip = o.dual_clip, ratio_max = o.ratio_max;
  if (!(clip_low >= 0)) return Fail(POLKA_INVALID_ARGUMENT, "clip_low: %g is not >= 0", clip_low);
  if (!(clip_high >= 0)) return Fail(POLKA_INVALID_ARGUMENT, "clip_high: %g is not >= 0", clip_high);
  if (dual_clip != 0 && !(dual_clip > 1 && isfinite(dual_clip))) {
    return Fail(POLKA_INVALID_ARGUMENT, "dual_clip: %g is neither 0 (off) nor finite and > 1", dual_clip);
  }
  if (ratio_max != 0 && !(ratio_max > 1 + clip_high && isfinite(ratio_max))) {
    return Fail(POLKA_INVALID_ARGUMENT, "ratio_max: %g is neither 0 (off) nor finite and > 1 + clip_high = %g",
                ratio_max, 1 + clip_high);
  }
  if (!isfinite(o.kl_coefficient)) {
    return Fail(POLKA_INVALID_ARGUMENT, "kl_coefficient: %g is not finite", o.kl_coefficient);
  }
  if (o.kl_coefficient != 0 && o.kl_estimator == POLKA_KL_NONE) {
    return Fail(POLKA_INVALID_ARGUMENT, "kl_coefficient: %g needs a kl_estimator", o.kl_coefficient);
  }
  if (!isfinite(o.entropy_coefficient)) {
    return Fail(POLKA_INVALID_ARGUMENT, "entropy_coefficient: %g is not finite", o.entropy_coefficient);
  }
  return POLKA_OK;
}

}  // namespace

polka_status CheckTokenObjective(const polka_policy_loss_args& a) {
  POLKA_TRY(CheckObjective(a.objective));
  POLKA_TRY(CheckNormalizer(a.normalizer, "normalizer"));
  POLKA_TRY(CheckNormalizer(a.entropy_normalizer, "entropy_normalizer"));
  if (!isfinite(a.gradient_scale)) {
    return Fail(POLKA_INVALID_ARGUMENT, "gradient_scale: %g is not finite", static_cast<double>(a.gradient_scale));
  }
  const int64_t rows = a.logits.rows;
  POLKA_TRY(CheckOption(a.batch.advantage_per_sequence, 1, "advantage_per_sequence"));
  POLKA_TRY(CheckArray(a.batch.offsets, 0, 8, "offsets"));
  POLKA_TRY(CheckOffsets(a.batch.offsets, a.batch.sequences, rows, "offsets", OnCpu(a.exec)));
  POLKA_TRY(CheckArray(a.batch.old_log_prob, 0, 4, "old_log_prob"));
  POLKA_TRY(CheckArray(a.batch.ref_log_prob, a.objective.kl_estimator == POLKA_KL_NONE ? 0 : rows, 4, "ref_log_prob"));
  POLKA_TRY(CheckArray(a.batch.advantages, rows, 4, "advantages"));
  POLKA_TRY(CheckArray(a.batch.weights, 0, 4, "weights"));
  return CheckArray(a.metrics, 1, 8, "metrics");
}

int64_t TokenObjectiveBytes(const polka_policy_loss_args& a) {
  const int64_t states =
      a.objective.ratio_level == POLKA_RATIO_SEQUENCE ? a.batch.sequences * int64_t{sizeof(SequenceState)} : 0;
  return BlockCount(a) * int64_t{sizeof(polka_policy_loss_metrics)} + states;
}

TokenGradient RowGradient(const TokenObjective& objective, int64_t row, float log_prob) {
  const Batch b(objective);
  if (b.SkippedRow(row)) return {0, 0, false};
  const int64_t sequence = b.SequenceOf(row);
  const Row r = b.Read(row, sequence, log_prob);
  if (!r.counted) return {0, 0, false};
  return b.Gradient(sequence, b.Terms(sequence, r, 0), b.WeightsOf(sequence));
}

void RunTokenObjective(const TokenObjective& objective, float* d_log_prob, float* d_entropy) {
  const Batch b(objective);
  const int32_t threads = ThreadsFor(b.a.exec, b.a.logits.rows * kRowCostBytes);
  const SequenceCounts counts = RunSequences(b, threads);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) RunBlock(b, block, d_log_prob, d_entropy);
  };
  ParallelFor(threads, BlockCount(b.a), 1, body);
  polka_policy_loss_metrics total = EmptyMetrics();
  for (int64_t block = 0; block < BlockCount(b.a); ++block) MergeMetrics(total, b.blocks[block]);
  total.sequences = static_cast<double>(counts.with_tokens);
  total.clip_low_sequences = static_cast<double>(counts.clip_low);
  total.clip_high_sequences = static_cast<double>(counts.clip_high);
  total.loss = TotalLoss(b.o, total);
  *reinterpret_cast<polka_policy_loss_metrics*>(b.a.metrics) = total;
}

}  // namespace polka
