// Phases: (1) per sequence, the mean log-ratio and the gradient through it where the ratio is the
// sequence's, and the counts over sequences; (2) per block of rows, terms, gradients and sums;
// (3) the blocks' sums, in order. Per-row arithmetic is f32, every sum f64. The
// exponentials decide, not the 30 bytes of a row.
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
#include "policy_term.inl"
#include "policy_loss.inl"

// Rows whose sums one thread takes, one after the other. A constant, because it decides the order.
constexpr int64_t kBlockRows = 512;
constexpr int64_t kSequencesPerChunk = 4;
// Memory traffic that takes as long as one row.
constexpr int64_t kRowCostBytes = 400;

struct SequenceCounts {
  int64_t with_tokens, clip_low, clip_high, off_policy;
};

const float* Floats(uint64_t address) { return reinterpret_cast<const float*>(address); }

int64_t BlockCount(const polka_policy_loss_args& a) { return (a.logits.rows + kBlockRows - 1) / kBlockRows; }

// The batch as the phases read it.
struct Batch {
  const polka_policy_loss_args& a;
  const polka_policy_objective& o;
  const TokenObjective& t;
  const int64_t* offsets;
  polka_policy_loss_metrics* blocks;
  SequenceState* states;  // null where no sequence has to be summed up

  explicit Batch(const TokenObjective& objective)
      : a(*objective.args),
        o(a.objective),
        t(objective),
        offsets(reinterpret_cast<const int64_t*>(a.batch.offsets)),
        blocks(reinterpret_cast<polka_policy_loss_metrics*>(objective.scratch)),
        states(NeedsSequences(o) ? reinterpret_cast<SequenceState*>(blocks + BlockCount(a)) : nullptr) {}

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
    return {Weight(a.normalizer, sequence), Weight(a.entropy_normalizer, sequence),
            o.nll_coefficient == 0 ? 0 : Weight(a.nll_normalizer, sequence)};
  }

  bool SkippedRow(int64_t row) const { return t.read_targets ? Skipped(a.targets, row) : Masked(a.targets.mask, row); }

  TokenInputs<float> Read(int64_t row, int64_t sequence, float log_prob, float entropy) const {
    const auto value = [row](uint64_t address, float otherwise) {
      return address == 0 ? otherwise : Floats(address)[row];
    };
    TokenInputs<float> in = {};
    in.log_prob = log_prob;
    in.old_log_prob = value(a.batch.old_log_prob, log_prob);
    in.ref_log_prob = o.kl_estimator == POLKA_KL_NONE ? 0.0f : Floats(a.batch.ref_log_prob)[row];
    in.behaviour_log_prob = o.off_policy_max > 0 ? value(a.batch.behaviour_log_prob, in.old_log_prob) : in.old_log_prob;
    in.advantage = Floats(a.batch.advantages)[a.batch.advantage_per_sequence ? sequence : row];
    in.importance = value(a.batch.weights, 1);
    in.anchor_weight = o.anchor_estimator == POLKA_KL_NONE ? 0.0f : value(a.batch.anchor_weights, 1);
    in.nll_weight = o.nll_coefficient == 0 ? 0.0f : value(a.batch.nll_weights, DefaultNllWeight(in.advantage));
    in.entropy = entropy;
    return JudgeToken(o, in);
  }

  TokenInputs<float> Read(int64_t row, int64_t sequence) const {
    return Read(row, sequence, t.log_prob[row], t.entropy == nullptr ? 0.0f : t.entropy[row]);
  }

  TokenTerms<float> Terms(int64_t sequence, const TokenInputs<float>& in) const {
    return MakeTerms(o, in, states == nullptr ? SequenceState{} : states[sequence]);
  }

  TokenGradient Gradient(int64_t sequence, const TokenTerms<float>& terms, const TokenWeights& n) const {
    const double through_mean = states == nullptr ? 0 : states[sequence].d_log_prob;
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
    const TokenInputs<float> in = b.Read(row, sequence);
    if (in.counted && !token(in)) return;
  }
}

bool HasToken(const Batch& b, int64_t sequence) {
  bool found = false;
  ForEachToken(b, sequence, [&](const TokenInputs<float>&) {
    found = true;
    return false;
  });
  return found;
}

// What the tokens of a sequence share, then the sum of their gradients through its mean.
void ComputeSequence(const Batch& b, int64_t sequence, SequenceCounts& counts) {
  SequenceSums sums = {};
  ForEachToken(b, sequence, [&](const TokenInputs<float>& in) {
    AddToSequence(b.o, sums, in);
    return true;
  });
  SequenceState& state = b.states[sequence];
  state = {};
  if (sums.tokens == 0) return;
  state = FinishSequence(b.o, sums);
  const TokenWeights n = b.WeightsOf(sequence);
  double gradient = 0;
  bool low = false, high = false;
  ForEachToken(b, sequence, [&](const TokenInputs<float>& in) {
    const TokenTerms<float> terms = b.Terms(sequence, in);
    gradient += RatioGradient(terms, n);
    low |= terms.policy.clip_low;
    high |= terms.policy.clip_high;
    return true;
  });
  state.d_log_prob = gradient / static_cast<double>(sums.tokens);
  const bool by_sequence = b.o.ratio_level == POLKA_RATIO_SEQUENCE;
  counts.with_tokens += 1;
  counts.clip_low += by_sequence && low;
  counts.clip_high += by_sequence && high;
  counts.off_policy += state.off_policy;
}

SequenceCounts RunSequences(const Batch& b, int32_t threads) {
  SequenceCounts total = {};
  auto body = [&](int64_t begin, int64_t end) {
    SequenceCounts counts = {};
    for (int64_t s = begin; s < end; ++s) {
      if (b.states != nullptr) {
        ComputeSequence(b, s, counts);
      } else {
        counts.with_tokens += HasToken(b, s);
      }
    }
    // Whole numbers: their sum has no order.
    __atomic_fetch_add(&total.with_tokens, counts.with_tokens, __ATOMIC_RELAXED);
    __atomic_fetch_add(&total.clip_low, counts.clip_low, __ATOMIC_RELAXED);
    __atomic_fetch_add(&total.clip_high, counts.clip_high, __ATOMIC_RELAXED);
    __atomic_fetch_add(&total.off_policy, counts.off_policy, __ATOMIC_RELAXED);
  };
  // Looking for a first token is not worth a second thread.
  ParallelFor(b.states != nullptr ? threads : 1, b.a.batch.sequences, kSequencesPerChunk, body);
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
      const TokenInputs<float> in = b.Read(row, sequence);
      if (in.non_finite) AddNonFinite(m, row);
      if (in.counted) {
        const TokenTerms<float> terms = b.Terms(sequence, in);
        AddToken(b.o, m, terms, n);
        gradient = b.Gradient(sequence, terms, n);
      }
    }
    if (d_log_prob != nullptr) d_log_prob[row] = gradient.d_log_prob;
    if (d_entropy != nullptr) d_entropy[row] = gradient.d_entropy;
  }
}

polka_status CheckPositive(float value, const char* name) {
  if (value > 0 && isfinite(value)) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is not finite and > 0", name, static_cast<double>(value));
}

polka_status CheckMargin(float value, const char* name) {
  if (value >= 0) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is not >= 0", name, static_cast<double>(value));
}

polka_status CheckCoefficient(double value, const char* name) {
  if (isfinite(value)) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is not finite", name, value);
}

// What only some kinds read.
polka_status CheckKind(const polka_policy_objective& o) {
  POLKA_TRY(CheckOption(o.kind, POLKA_OBJECTIVE_REGRESSION, "kind"));
  const double dual_clip = o.dual_clip, ratio_max = o.ratio_max, clip_high = o.clip_high;
  if (o.kind != POLKA_OBJECTIVE_CLIP && (dual_clip != 0 || ratio_max != 0)) {
    return Fail(POLKA_INVALID_ARGUMENT, "dual_clip, ratio_max: %g and %g belong to kind 0, not to %d", dual_clip,
                ratio_max, o.kind);
  }
  if (dual_clip != 0 && !(dual_clip > 1 && isfinite(dual_clip))) {
    return Fail(POLKA_INVALID_ARGUMENT, "dual_clip: %g is neither 0 (off) nor finite and > 1", dual_clip);
  }
  if (ratio_max != 0 && !(ratio_max > 1 + clip_high && isfinite(ratio_max))) {
    return Fail(POLKA_INVALID_ARGUMENT, "ratio_max: %g is neither 0 (off) nor finite and > 1 + clip_high = %g",
                ratio_max, 1 + clip_high);
  }
  if (o.kind >= POLKA_OBJECTIVE_GMPO && o.ratio_level != POLKA_RATIO_SEQUENCE) {
    return Fail(POLKA_INVALID_ARGUMENT, "ratio_level: %d, but kind %d needs the sequence's ratio", o.ratio_level,
                o.kind);
  }
  switch (o.kind) {
    case POLKA_OBJECTIVE_SAPO:
      POLKA_TRY(CheckPositive(o.tau_positive, "tau_positive"));
      return CheckPositive(o.tau_negative, "tau_negative");
    case POLKA_OBJECTIVE_DPPO_TV:
    case POLKA_OBJECTIVE_DPPO_KL:
    case POLKA_OBJECTIVE_IPO:
      POLKA_TRY(CheckMargin(o.trust_low, "trust_low"));
      POLKA_TRY(CheckMargin(o.trust_high, "trust_high"));
      return CheckSwitch(o.surrogate_max, "surrogate_max");
    case POLKA_OBJECTIVE_VESPO:
      POLKA_TRY(CheckCoefficient(o.shape_positive, "shape_positive"));
      POLKA_TRY(CheckCoefficient(o.shape_negative, "shape_negative"));
      POLKA_TRY(CheckPositive(o.rate_positive, "rate_positive"));
      return CheckPositive(o.rate_negative, "rate_negative");
    case POLKA_OBJECTIVE_REGRESSION:
      return CheckPositive(o.regression_scale, "regression_scale");
    default:
      return POLKA_OK;
  }
}

polka_status CheckPenalty(double coefficient, int32_t estimator, const char* name, const char* estimator_name) {
  POLKA_TRY(CheckOption(estimator, POLKA_KL_K3, estimator_name));
  POLKA_TRY(CheckCoefficient(coefficient, name));
  if (coefficient == 0 || estimator != POLKA_KL_NONE) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g needs %s", name, coefficient, estimator_name);
}

polka_status CheckObjective(const polka_policy_objective& o) {
  POLKA_TRY(CheckOption(o.ratio_level, POLKA_RATIO_SEQUENCE, "ratio_level"));
  POLKA_TRY(CheckOption(o.sequence_gradient, POLKA_SEQUENCE_THROUGH_MEAN, "sequence_gradient"));
  POLKA_TRY(CheckOption(o.kl_gradient_mode, POLKA_KL_DETACHED, "kl_gradient_mode"));
  POLKA_TRY(CheckOption(o.skip_non_finite, 1, "skip_non_finite"));
  POLKA_TRY(CheckBound(o.max_log_ratio, "max_log_ratio"));
  POLKA_TRY(CheckBound(o.sequence_max_log_ratio, "sequence_max_log_ratio"));
  POLKA_TRY(CheckBound(o.k3_max, "k3_max"));
  POLKA_TRY(CheckMargin(o.clip_low, "clip_low"));
  POLKA_TRY(CheckMargin(o.clip_high, "clip_high"));
  POLKA_TRY(CheckKind(o));
  POLKA_TRY(CheckPenalty(o.kl_coefficient, o.kl_estimator, "kl_coefficient", "kl_estimator"));
  POLKA_TRY(CheckPenalty(o.anchor_coefficient, o.anchor_estimator, "anchor_coefficient", "anchor_estimator"));
  POLKA_TRY(CheckCoefficient(o.entropy_coefficient, "entropy_coefficient"));
  POLKA_TRY(CheckCoefficient(o.nll_coefficient, "nll_coefficient"));
  POLKA_TRY(CheckSwitch(o.entropy_threshold, "entropy_threshold"));
  return CheckSwitch(o.off_policy_max, "off_policy_max");
}

}  // namespace

polka_status CheckTokenObjective(const polka_policy_loss_args& a) {
  POLKA_TRY(CheckObjective(a.objective));
  POLKA_TRY(CheckNormalizer(a.normalizer, "normalizer"));
  POLKA_TRY(CheckNormalizer(a.entropy_normalizer, "entropy_normalizer"));
  if (a.objective.nll_coefficient != 0) POLKA_TRY(CheckNormalizer(a.nll_normalizer, "nll_normalizer"));
  if (!isfinite(a.gradient_scale)) {
    return Fail(POLKA_INVALID_ARGUMENT, "gradient_scale: %g is not finite", static_cast<double>(a.gradient_scale));
  }
  const int64_t rows = a.logits.rows;
  POLKA_TRY(CheckOption(a.batch.advantage_per_sequence, 1, "advantage_per_sequence"));
  POLKA_TRY(CheckArray(a.batch.offsets, 0, 8, "offsets"));
  POLKA_TRY(CheckOffsets(a.batch.offsets, a.batch.sequences, rows, "offsets", OnCpu(a.exec)));
  if (OnCpu(a.exec)) {
    POLKA_TRY(CheckSequenceTokens(a.normalizer, a.batch.sequences, "normalizer"));
    POLKA_TRY(CheckSequenceTokens(a.entropy_normalizer, a.batch.sequences, "entropy_normalizer"));
    if (a.objective.nll_coefficient != 0) {
      POLKA_TRY(CheckSequenceTokens(a.nll_normalizer, a.batch.sequences, "nll_normalizer"));
    }
  }
  POLKA_TRY(CheckArray(a.batch.old_log_prob, 0, 4, "old_log_prob"));
  POLKA_TRY(CheckArray(a.batch.ref_log_prob, a.objective.kl_estimator == POLKA_KL_NONE ? 0 : rows, 4, "ref_log_prob"));
  POLKA_TRY(CheckArray(a.batch.advantages, rows, 4, "advantages"));
  POLKA_TRY(CheckArray(a.batch.weights, 0, 4, "weights"));
  POLKA_TRY(CheckArray(a.batch.behaviour_log_prob, 0, 4, "behaviour_log_prob"));
  POLKA_TRY(CheckArray(a.batch.anchor_weights, 0, 4, "anchor_weights"));
  POLKA_TRY(CheckArray(a.batch.nll_weights, 0, 4, "nll_weights"));
  return CheckArray(a.metrics, 1, 8, "metrics");
}

int64_t TokenObjectiveBytes(const polka_policy_loss_args& a) {
  const int64_t states = NeedsSequences(a.objective) ? a.batch.sequences * int64_t{sizeof(SequenceState)} : 0;
  return BlockCount(a) * int64_t{sizeof(polka_policy_loss_metrics)} + states;
}

bool ObjectiveNeedsSequences(const polka_policy_objective& o) { return NeedsSequences(o); }

bool ObjectiveNeedsEntropy(const polka_policy_objective& o) { return NeedsEntropy(o); }

TokenGradient RowGradient(const TokenObjective& objective, int64_t row, float log_prob, float entropy) {
  const Batch b(objective);
  if (b.SkippedRow(row)) return {0, 0, false};
  const int64_t sequence = b.SequenceOf(row);
  const TokenInputs<float> in = b.Read(row, sequence, log_prob, entropy);
  if (!in.counted) return {0, 0, false};
  return b.Gradient(sequence, b.Terms(sequence, in), b.WeightsOf(sequence));
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
  total.off_policy_sequences = static_cast<double>(counts.off_policy);
  total.loss = TotalLoss(b.o, total);
  *reinterpret_cast<polka_policy_loss_metrics*>(b.a.metrics) = total;
}

}  // namespace polka
