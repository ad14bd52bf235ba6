// The token objective over the rows of a batch: what policy_loss does between log-probs and their
// gradient. Three small launches over a few numbers a token, all sums f64 in a fixed order: one warp a
// sequence, one warp for every 256 rows, one warp that adds up.
#pragma once

#include "device/launch.cuh"
#include "device/math.cuh"
#include "device/targets.cuh"

namespace polka::cuda {

// One sequence in memory: what its tokens share, and whether any of them met a bound.
struct SequenceRecord {
  SequenceState state;
  int32_t clip_low, clip_high;
};

// Where one call keeps what it finds, as device addresses.
struct PolicyMemory {
  uint64_t status;
  uint64_t log_prob, entropy;      // [rows] f32; entropy may be 0
  uint64_t max, log_sum;           // [rows] f32, where rows are passed over twice
  uint64_t d_log_prob, d_entropy;  // [rows] f32, or 0 where nobody asks
  uint64_t blocks;                 // [warps of RowBlockKernel] polka_policy_loss_metrics
  uint64_t states;                 // [sequences] SequenceRecord
  int32_t read_targets;            // rows are skipped by ignore_index too, not by the mask alone
};

struct TokenObjectiveParams {
  polka_policy_loss_args args;
  PolicyMemory memory;
};

constexpr int kObjectiveThreads = 256;
constexpr int kObjectiveWarps = kObjectiveThreads / kWarpLanes;
constexpr int kRowsPerLane = 8;
constexpr int64_t kRowsPerWarp = kRowsPerLane * kWarpLanes;
constexpr int kMetricFields = sizeof(polka_policy_loss_metrics) / sizeof(double);

constexpr int64_t RowBlocks(int64_t rows) { return (rows + kRowsPerWarp - 1) / kRowsPerWarp; }

template <class T, class Context>
POLKA_DEVICE T LoadAt(Context& ctx, uint64_t address, int64_t index) {
  return ctx.Load(reinterpret_cast<const T*>(address) + index);
}

template <class T, class Context>
POLKA_DEVICE void StoreAt(Context& ctx, uint64_t address, int64_t index, T value) {
  if (address != 0) ctx.Store(reinterpret_cast<T*>(address) + index, value);
}

template <class T, class Context>
POLKA_DEVICE T WarpTotal(Context& ctx, T x) {
#pragma unroll
  for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) x += ctx.ShuffleXor(x, mask);
  return x;
}

// The sequence that owns the row: the last one that starts at or before it.
template <class Context>
POLKA_DEVICE int64_t SequenceOf(Context& ctx, const polka_token_batch& b, int64_t row) {
  int64_t low = 0, high = b.sequences;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (LoadAt<int64_t>(ctx, b.offsets, middle) <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

template <class Context>
POLKA_DEVICE double WeightOf(Context& ctx, const polka_normalizer& n, int64_t sequence) {
  return TokenWeight(n.divisor, n.sequence_tokens == 0 ? 1 : LoadAt<int64_t>(ctx, n.sequence_tokens, sequence));
}

template <class Context>
POLKA_DEVICE TokenWeights WeightsOf(Context& ctx, const polka_policy_loss_args& a, int64_t sequence) {
  return {WeightOf(ctx, a.normalizer, sequence), WeightOf(ctx, a.entropy_normalizer, sequence),
          a.objective.nll_coefficient == 0 ? 0 : WeightOf(ctx, a.nll_normalizer, sequence)};
}

template <class Context>
POLKA_DEVICE TokenInputs<float> TokenOf(Context& ctx, const polka_policy_loss_args& a, int64_t row, int64_t sequence,
                                        float log_prob, float entropy) {
  const polka_token_batch& b = a.batch;
  const polka_policy_objective& o = a.objective;
  const auto value = [&](uint64_t address, float otherwise) {
    return address == 0 ? otherwise : LoadAt<float>(ctx, address, row);
  };
  TokenInputs<float> t = {};
  t.log_prob = log_prob;
  t.old_log_prob = value(b.old_log_prob, log_prob);
  t.ref_log_prob = o.kl_estimator == POLKA_KL_NONE ? 0.0f : LoadAt<float>(ctx, b.ref_log_prob, row);
  t.behaviour_log_prob = o.off_policy_max > 0 ? value(b.behaviour_log_prob, t.old_log_prob) : t.old_log_prob;
  t.advantage = LoadAt<float>(ctx, b.advantages, b.advantage_per_sequence ? sequence : row);
  t.importance = value(b.weights, 1.0f);
  t.anchor_weight = o.anchor_estimator == POLKA_KL_NONE ? 0.0f : value(b.anchor_weights, 1.0f);
  t.nll_weight = o.nll_coefficient == 0 ? 0.0f : value(b.nll_weights, DefaultNllWeight(t.advantage));
  t.entropy = entropy;
  return JudgeToken(o, t);
}

// The same with log-prob and entropy from the call's memory.
template <class Context>
POLKA_DEVICE TokenInputs<float> TokenOf(Context& ctx, const TokenObjectiveParams& p, int64_t row, int64_t sequence) {
  const float entropy = p.memory.entropy == 0 ? 0.0f : LoadAt<float>(ctx, p.memory.entropy, row);
  return TokenOf(ctx, p.args, row, sequence, LoadAt<float>(ctx, p.memory.log_prob, row), entropy);
}

// What the sequence's tokens share; nothing where the objective does not need it.
template <class Context>
POLKA_DEVICE SequenceState StateOf(Context& ctx, const TokenObjectiveParams& p, int64_t sequence) {
  SequenceState state = {};
  if (!NeedsSequences(p.args.objective)) return state;
  const SequenceState* from = &(reinterpret_cast<const SequenceRecord*>(p.memory.states) + sequence)->state;
  state.mean_log_ratio = ctx.Load(&from->mean_log_ratio);
  state.weight_positive = ctx.Load(&from->weight_positive);
  state.weight_negative = ctx.Load(&from->weight_negative);
  state.d_log_prob = ctx.Load(&from->d_log_prob);
  state.tokens = ctx.Load(&from->tokens);
  state.off_policy = ctx.Load(&from->off_policy);
  return state;
}

POLKA_DEVICE float GradientScaleOf(const polka_policy_loss_args& a) {
  return a.gradient_scale == 0 ? 1 : a.gradient_scale;
}

template <class Context>
POLKA_DEVICE bool SkippedToken(Context& ctx, const TokenObjectiveParams& p, int64_t row) {
  const polka_targets& t = p.args.targets;
  if (t.mask != 0 && LoadAt<uint8_t>(ctx, t.mask, row) == 0) return true;
  if (!p.memory.read_targets) return false;
  const int64_t target = t.dtype == POLKA_I64 ? LoadAt<int64_t>(ctx, t.data, row) : LoadAt<int32_t>(ctx, t.data, row);
  return target == t.ignore_index;
}

// ---- one warp a sequence --------------------------------------------------------------------------

// Counts a sequence's tokens; where the objective needs it, also sums them up and takes the gradient
// through their mean. Offsets are checked here: a bad one is reported and cut to the rows there are.
struct SequenceKernel {
  using Params = TokenObjectiveParams;
  static constexpr int kThreads = kObjectiveThreads;
  static constexpr int kBlocksPerSm = 2;

  // Calls token(inputs) for the lane's tokens that count.
  template <class Context, class Token>
  POLKA_DEVICE static void ForEachToken(Context& ctx, const Params& p, int64_t s, int64_t begin, int64_t end,
                                        const Token& token) {
    for (int64_t row = begin + ctx.Lane(); row < end; row += kWarpLanes) {
      if (SkippedToken(ctx, p, row)) continue;
      const TokenInputs<float> t = TokenOf(ctx, p, row, s);
      if (t.counted) token(t);
    }
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_policy_loss_args& a = p.args;
    const int64_t s = ctx.Block() * kObjectiveWarps + ctx.Warp();
    if (s >= a.batch.sequences) return;
    const int64_t rows = a.logits.rows;
    int64_t begin = LoadAt<int64_t>(ctx, a.batch.offsets, s), end = LoadAt<int64_t>(ctx, a.batch.offsets, s + 1);
    const bool first_good = s == 0 ? begin == 0 : begin >= 0 && begin <= rows;
    const bool last_good = s + 1 == a.batch.sequences ? end == rows : end <= rows;
    if (ctx.Lane() == 0 && !(first_good && last_good && begin <= end)) {
      ReportRow(ctx, p.memory.status, first_good ? s + 1 : s, BadRow::kOffsets, 0);
    }
    begin = begin < 0 ? 0 : begin;
    end = end > rows ? rows : end;

    const polka_policy_objective& o = a.objective;
    SequenceSums sums = {};
    ForEachToken(ctx, p, s, begin, end, [&](const TokenInputs<float>& t) { AddToSequence(o, sums, t); });
    sums = {WarpTotal(ctx, sums.log_ratio), WarpTotal(ctx, sums.log_weight), WarpTotal(ctx, sums.drift),
            WarpTotal(ctx, sums.tokens)};
    SequenceRecord record = {};
    record.state.tokens = sums.tokens;
    if (NeedsSequences(o) && sums.tokens > 0) {
      record.state = FinishSequence(o, sums);
      const TokenWeights n = WeightsOf(ctx, a, s);
      const bool by_sequence = o.ratio_level == POLKA_RATIO_SEQUENCE;
      double gradient = 0;
      ForEachToken(ctx, p, s, begin, end, [&](const TokenInputs<float>& t) {
        const TokenTerms<float> terms = MakeTerms(o, t, record.state);
        gradient += RatioGradient(terms, n);
        record.clip_low |= by_sequence && terms.policy.clip_low;
        record.clip_high |= by_sequence && terms.policy.clip_high;
      });
      record.state.d_log_prob = WarpTotal(ctx, gradient) / static_cast<double>(sums.tokens);
      record.clip_low = WarpTotal(ctx, record.clip_low) > 0;
      record.clip_high = WarpTotal(ctx, record.clip_high) > 0;
    }
    if (ctx.Lane() != 0) return;
    SequenceRecord* to = reinterpret_cast<SequenceRecord*>(p.memory.states) + s;
    ctx.Store(&to->state.mean_log_ratio, record.state.mean_log_ratio);
    ctx.Store(&to->state.weight_positive, record.state.weight_positive);
    ctx.Store(&to->state.weight_negative, record.state.weight_negative);
    ctx.Store(&to->state.d_log_prob, record.state.d_log_prob);
    ctx.Store(&to->state.tokens, record.state.tokens);
    ctx.Store(&to->state.off_policy, record.state.off_policy);
    ctx.Store(&to->clip_low, record.clip_low);
    ctx.Store(&to->clip_high, record.clip_high);
  }
};

// ---- metrics as they travel ------------------------------------------------------------------------

struct MetricFields {
  double field[kMetricFields];
};

template <class Context>
POLKA_DEVICE polka_policy_loss_metrics LoadMetrics(Context& ctx, uint64_t address, int64_t index) {
  MetricFields f;
#pragma unroll
  for (int i = 0; i < kMetricFields; ++i) f.field[i] = LoadAt<double>(ctx, address, index * kMetricFields + i);
  return BitCast<polka_policy_loss_metrics>(f);
}

template <class Context>
POLKA_DEVICE void StoreMetrics(Context& ctx, uint64_t address, int64_t index, const polka_policy_loss_metrics& m) {
  const MetricFields f = BitCast<MetricFields>(m);
#pragma unroll
  for (int i = 0; i < kMetricFields; ++i) StoreAt(ctx, address, index * kMetricFields + i, f.field[i]);
}

// Lane after lane, in one fixed tree.
template <class Context>
POLKA_DEVICE polka_policy_loss_metrics WarpMetrics(Context& ctx, polka_policy_loss_metrics m) {
#pragma unroll 1
  for (int mask = 1; mask < kWarpLanes; mask *= 2) {
    const MetricFields mine = BitCast<MetricFields>(m);
    MetricFields theirs;
#pragma unroll
    for (int i = 0; i < kMetricFields; ++i) theirs.field[i] = ctx.ShuffleXor(mine.field[i], mask);
    polka_policy_loss_metrics left = m, right = BitCast<polka_policy_loss_metrics>(theirs);
    if ((ctx.Lane() & mask) != 0) {
      left = right;
      right = m;
    }
    MergeMetrics(left, right);
    m = left;
  }
  return m;
}

// ---- one warp for every 256 rows -------------------------------------------------------------------

// Terms, gradients and sums; a lane takes eight rows, one after the other.
struct RowBlockKernel {
  using Params = TokenObjectiveParams;
  static constexpr int kThreads = kObjectiveThreads;
  static constexpr int kBlocksPerSm = 1;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_policy_loss_args& a = p.args;
    const polka_policy_objective& o = a.objective;
    const int64_t warp = ctx.Block() * kObjectiveWarps + ctx.Warp();
    const int64_t rows = a.logits.rows;
    if (warp * kRowsPerWarp >= rows) return;
    polka_policy_loss_metrics m = EmptyMetrics();
    const int64_t begin = warp * kRowsPerWarp + ctx.Lane() * kRowsPerLane;
    const int64_t end = begin + kRowsPerLane < rows ? begin + kRowsPerLane : rows;
    if (begin < end) {
      int64_t sequence = SequenceOf(ctx, a.batch, begin);
      int64_t next = LoadAt<int64_t>(ctx, a.batch.offsets, sequence + 1);
      TokenWeights n = WeightsOf(ctx, a, sequence);
#pragma unroll 1
      for (int64_t row = begin; row < end; ++row) {
        if (row >= next && sequence + 1 < a.batch.sequences) {
          sequence = SequenceOf(ctx, a.batch, row);
          next = LoadAt<int64_t>(ctx, a.batch.offsets, sequence + 1);
          n = WeightsOf(ctx, a, sequence);
        }
        Token(ctx, p, o, row, sequence, n, m);
      }
    }
    m = WarpMetrics(ctx, m);
    if (ctx.Lane() == 0) StoreMetrics(ctx, p.memory.blocks, warp, m);
  }

  template <class Context>
  POLKA_DEVICE static void Token(Context& ctx, const Params& p, const polka_policy_objective& o, int64_t row,
                                 int64_t sequence, TokenWeights n, polka_policy_loss_metrics& m) {
    float d_log_prob = 0, d_entropy = 0;
    if (!SkippedToken(ctx, p, row)) {
      const TokenInputs<float> t = TokenOf(ctx, p, row, sequence);
      if (t.non_finite) AddNonFinite(m, row);
      if (t.counted) {
        const SequenceState state = StateOf(ctx, p, sequence);
        const TokenTerms<float> terms = MakeTerms(o, t, state);
        AddToken(o, m, terms, n);
        const double scale = static_cast<double>(GradientScaleOf(p.args));
        d_log_prob = static_cast<float>(scale * LogProbGradient(o, terms, n, state.d_log_prob));
        d_entropy = static_cast<float>(scale * EntropyGradient(o, n));
      }
    }
    StoreAt(ctx, p.memory.d_log_prob, row, d_log_prob);
    StoreAt(ctx, p.memory.d_entropy, row, d_entropy);
  }
};

// ---- one warp for all ------------------------------------------------------------------------------

// Adds up what the others left: a lane takes a run of neighbours, the lanes meet in one fixed tree.
struct MetricsKernel {
  using Params = TokenObjectiveParams;
  static constexpr int kThreads = kWarpLanes;
  static constexpr int kBlocksPerSm = 1;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_policy_loss_args& a = p.args;
    const int64_t blocks = RowBlocks(a.logits.rows);
    const int64_t run = (blocks + kWarpLanes - 1) / kWarpLanes;
    const int64_t begin = ctx.Lane() * run, end = begin + run < blocks ? begin + run : blocks;
    polka_policy_loss_metrics m = EmptyMetrics();
#pragma unroll 1
    for (int64_t b = begin; b < end; ++b) MergeMetrics(m, LoadMetrics(ctx, p.memory.blocks, b));
    m = WarpMetrics(ctx, m);
    int64_t with_tokens = 0, low = 0, high = 0, off_policy = 0;
    for (int64_t s = ctx.Lane(); s < a.batch.sequences; s += kWarpLanes) {
      const SequenceRecord* record = reinterpret_cast<const SequenceRecord*>(p.memory.states) + s;
      with_tokens += ctx.Load(&record->state.tokens) > 0;
      off_policy += ctx.Load(&record->state.off_policy);
      low += ctx.Load(&record->clip_low);
      high += ctx.Load(&record->clip_high);
    }
    m.sequences = static_cast<double>(WarpTotal(ctx, with_tokens));
    m.clip_low_sequences = static_cast<double>(WarpTotal(ctx, low));
    m.clip_high_sequences = static_cast<double>(WarpTotal(ctx, high));
    m.off_policy_sequences = static_cast<double>(WarpTotal(ctx, off_policy));
    m.loss = TotalLoss(a.objective, m);
    if (ctx.Lane() == 0) StoreMetrics(ctx, a.metrics, 0, m);
  }
};

// `ok` is the launcher's success.
template <class Launcher>
typename Launcher::Result LaunchTokenObjective(const polka_policy_loss_args& a, const PolicyMemory& memory,
                                               const Launcher& launch) {
  const TokenObjectiveParams params = {a, memory};
  const auto blocks = [](int64_t warps) { return (warps + kObjectiveWarps - 1) / kObjectiveWarps; };
  typename Launcher::Result result = {};
  if (a.batch.sequences > 0) {
    result = launch(SequenceKernel{}, {blocks(a.batch.sequences), kObjectiveThreads, 1, 0}, params);
  }
  if (result == typename Launcher::Result{} && a.logits.rows > 0) {
    result = launch(RowBlockKernel{}, {blocks(RowBlocks(a.logits.rows)), kObjectiveThreads, 1, 0}, params);
  }
  if (result == typename Launcher::Result{}) result = launch(MetricsKernel{}, {1, kWarpLanes, 1, 0}, params);
  return result;
}

}  // namespace polka::cuda
