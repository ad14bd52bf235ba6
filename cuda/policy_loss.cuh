// policy_loss on the device: logits -> log-probs -> token objective -> gradient.
//
// Under a token ratio a row's log-prob decides its gradient: one launch reads the row (V s bytes),
// keeps it in shared memory, across a cluster of blocks where one has too little, and writes the
// gradient (V s bytes). Where the row does not fit, and under softcap or a keep-mask, the row is read
// a second time, mostly from the L2 cache. A sequence ratio or mask needs all its log-probs first:
// forward and backward are then two launches. Metrics follow in small launches over the tokens.
#pragma once

#include "log_prob.cuh"
#include "token_objective.cuh"

namespace polka::cuda {

// ---- token ratio: forward and gradient in one ------------------------------------------------------

struct PolicyLossParams {
  polka_policy_loss_args args;
  PolicyMemory memory;
  Team team;
};

template <class T, class Out, bool kGeneral, bool kOnChip>
struct PolicyLossKernel {
  using Params = PolicyLossParams;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksPerSm = 2;
  static constexpr Level kLevel = Level::kEntropy;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_policy_loss_args& a = p.args;
    const Team& team = p.team;
    team.Start(ctx);
    const int64_t r = team.Row(ctx);
    if (r >= a.logits.rows) return;
    const int member = team.Member(ctx), members = team.Members();
    const bool writes = member == 0 && ctx.Lane() == 0;
    LogitsRow<T> row = LogitsRowOf<T>(ctx, a.logits, a.softmax, r, -1);
    RowSpan<Out> out = RowOf<Out>(a.d_logits, r, a.d_logits.cols);
    const TargetOf target = ReadTarget(ctx, a.targets, r, row.span.columns);
    const bool bad_temperature = !GoodTemperature(row.temperature);
    if (target.state != RowState::kFine || bad_temperature) {
      team.Started(ctx);
      const bool skipped = target.state == RowState::kSkipped;
      if (writes) {
        if (!skipped && bad_temperature) {
          ReportRow(ctx, p.memory.status, r, BadRow::kTemperature, BitCast<uint32_t>(row.temperature));
        } else if (!skipped) {
          ReportRow(ctx, p.memory.status, r, BadRow::kTarget, ClampedBits(target.column));
        }
        StoreAt(ctx, p.memory.log_prob, r, skipped ? 0.0f : NAN);
        StoreAt(ctx, p.memory.entropy, r, skipped ? 0.0f : NAN);
      }
      return FillColumns(ctx, out, 0, skipped ? 0.0f : NAN, member, members);
    }
    row.target = target.column;

    const int tiles = static_cast<int>(TileCount<T>(row.span.columns));
    const int own = member < tiles ? (tiles - member + members - 1) / members : 0;
    // Slots first, the warp's own next to each other; then the table of statistics.
    const int per_warp = (tiles + members - 1) / members;
    const int slots = kOnChip ? per_warp * ctx.Warps() : 0;
    const Shared<Vec> slot = {static_cast<uint32_t>(ctx.Warp() * per_warp * kSlotBytes)};
    const int table = team.warps_per_row == 1 ? ctx.Warp() : 0;
    const StatsTable stats = {{static_cast<uint32_t>(slots * kSlotBytes + table * tiles * kStatsWords<kLevel> * 4)},
                              tiles};
    if constexpr (kOnChip) {
      for (int k = 0; k < own; ++k) CopyTile(ctx, row.span, TileBegin(member + k * members), slot + k * kSlotVectors);
    }

    // While the copies are on their way: everything else that the row needs. In place, the target's
    // logit must be read by all before anyone writes.
    const float y = TargetLogit(ctx, row);
    const int64_t sequence = SequenceOf(ctx, a.batch, r);
    const TokenWeights n = WeightsOf(ctx, a, sequence);
    team.Started(ctx);

    const SoftmaxWants wants = {true, false, false};
    for (int k = 0; k < own; ++k) {
      const int64_t begin = TileBegin(member + k * members);
      TileVectors tile;
      if constexpr (kOnChip) {
        WaitForTiles(ctx, own - 1 - k);
        // Lanes of an unaligned row read each other's copies.
        if (row.span.Shift() != 0) ctx.WarpBarrier();
        ReadTile(ctx, row.span, begin, slot + k * kSlotVectors, tile);
      } else {
        LoadTile(ctx, row.span, begin, tile);
      }
      PutTile<kLevel>(ctx, team, stats, member + k * members,
                      ComputeTile<kLevel, kGeneral>(ctx, row, begin, tile, wants));
    }
    team.Barrier(ctx);
    const TileStats total = MergeTiles<kLevel>(ctx, stats, row.temperature, 0);
    const SoftmaxOutputs s = FinishSoftmax(total.stats, total.shape, true, y, row.temperature, 0, wants);
    if (writes) {
      StoreAt(ctx, p.memory.log_prob, r, s.log_prob);
      StoreAt(ctx, p.memory.entropy, r, s.entropy);
    }

    const TokenInputs<float> token = TokenOf(ctx, a, r, sequence, s.log_prob, s.entropy);
    float d_log_prob = 0, d_entropy = 0;
    if (token.counted) {
      const TokenTerms<float> terms = MakeTerms(a.objective, token, SequenceState{});
      const double scale = static_cast<double>(GradientScaleOf(a));
      d_log_prob = static_cast<float>(scale * LogProbGradient(a.objective, terms, n, 0));
      d_entropy = static_cast<float>(scale * EntropyGradient(a.objective, n));
    }
    // A row without a gradient gets zeros, even where its logits are NaN.
    if (d_log_prob == 0 && d_entropy == 0) return FillColumns(ctx, out, 0, 0.0f, member, members);

    if (y == -INFINITY) d_log_prob = 0;
    const float scale = 1 / row.temperature;
    const Exponent exponent(s.max, row.log2e_over_t);
    const SoftmaxGradient g =
        GradientCoefficients(d_log_prob, d_entropy, 0, s.entropy, 0, fmaf(exponent.delta, kLn2, s.log_sum), scale);
    float at_target = TargetGradient(s.log_prob, d_log_prob, d_entropy, 0, s.entropy, 0, scale);
    if (row.softcap != 0) at_target *= 1 - (y / row.softcap) * (y / row.softcap);
    out.columns = row.span.columns;
    for (int k = 0; k < own; ++k) {
      const int64_t begin = TileBegin(member + k * members);
      TileVectors tile;
      if constexpr (kOnChip) {
        ReadTile(ctx, row.span, begin, slot + k * kSlotVectors, tile);
      } else {
        LoadTile(ctx, row.span, begin, tile);
        // Lanes of an unaligned row write into each other's columns.
        if (out.Shift() != 0) ctx.WarpBarrier();
      }
      WriteGradientTile<kGeneral, true>(ctx, row, begin, tile, exponent, g, y != -INFINITY, at_target, out);
    }
    out.columns = a.d_logits.cols;
    FillColumns(ctx, out, row.span.columns, 0.0f, member, members);
  }

 private:
  POLKA_DEVICE static int64_t TileBegin(int tile) { return static_cast<int64_t>(tile) * kTileColumns<T>; }
};

template <class Launcher>
typename Launcher::Result LaunchFusedRows(const polka_policy_loss_args& a, const PolicyMemory& memory,
                                          const DeviceLimits& limits, const Launcher& launch) {
  const bool general = a.softmax.softcap != 0 || a.softmax.keep_mask != 0;
  const int64_t columns = a.softmax.valid_vocab == 0 ? a.logits.cols : a.softmax.valid_vocab;
  const auto off_chip = [&]<class T, class Out, bool kGeneral>() {
    using Kernel = PolicyLossKernel<T, Out, kGeneral, false>;
    const RowPlan plan = PlanRows(a.logits.rows, TileCount<T>(columns), kStatsWords<Kernel::kLevel>, limits);
    return launch(Kernel{}, plan.launch, {a, memory, plan.team});
  };
  const auto with_types = [&]<class T, class Out>() {
    if (general) return off_chip.template operator()<T, Out, true>();
    if constexpr (sizeof(T) == sizeof(Out)) {
      using Kernel = PolicyLossKernel<T, Out, false, true>;
      const ChipPlan plan = PlanOnChip(a.logits.rows, TileCount<T>(columns), kStatsWords<Kernel::kLevel>, 1, limits);
      if (plan.on_chip) return launch(Kernel{}, plan.rows.launch, {a, memory, plan.rows.team});
    }
    return off_chip.template operator()<T, Out, false>();
  };
  const bool widened = a.d_logits.dtype != a.logits.dtype;
  switch (a.logits.dtype) {
    case POLKA_BF16:
      return widened ? with_types.template operator()<Bf16, float>() : with_types.template operator()<Bf16, Bf16>();
    case POLKA_F16:
      return widened ? with_types.template operator()<Half, float>() : with_types.template operator()<Half, Half>();
    default:
      return with_types.template operator()<float, float>();
  }
}

// ---- the whole operation ---------------------------------------------------------------------------

// Scratch memory of a call, cut up; `bytes` is what it takes.
struct PolicyWorkspace {
  PolicyMemory memory;
  int64_t bytes;
};

inline bool PassesTwice(const polka_policy_loss_args& a) { return NeedsSequences(a.objective) && a.d_logits.data != 0; }

inline PolicyWorkspace PolicyWorkspaceOf(const polka_policy_loss_args& a, bool with_logits) {
  PolicyWorkspace w = {};
  uint64_t next = a.exec.workspace;
  const auto take = [&](int64_t bytes) {
    const uint64_t p = next;
    next += static_cast<uint64_t>((bytes + 63) / 64 * 64);
    return p;
  };
  const auto row_array = [&](uint64_t given) { return given != 0 ? given : take(a.logits.rows * 4); };
  w.memory.status = take(64);
  w.memory.blocks = take(RowBlocks(a.logits.rows) * int64_t{sizeof(polka_policy_loss_metrics)});
  w.memory.states = take(a.batch.sequences * int64_t{sizeof(SequenceRecord)});
  w.memory.log_prob = with_logits ? row_array(a.log_prob) : a.log_prob;
  w.memory.entropy = with_logits ? row_array(a.entropy) : a.entropy;
  w.memory.read_targets = a.targets.data != 0;
  if (!with_logits) {
    w.memory.d_log_prob = a.d_log_prob;
    w.memory.d_entropy = a.d_entropy;
  } else if (NeedsSequences(a.objective)) {
    w.memory.max = row_array(0);
    w.memory.log_sum = row_array(0);
    w.memory.d_log_prob = row_array(0);
    w.memory.d_entropy = row_array(0);
  }
  w.bytes = static_cast<int64_t>(next - a.exec.workspace);
  return w;
}

template <class Launcher>
typename Launcher::Result LaunchPolicyLoss(const polka_policy_loss_args& a, const PolicyMemory& memory,
                                           const DeviceLimits& limits, const Launcher& launch) {
  using Result = typename Launcher::Result;
  const bool fused = a.d_logits.data != 0 && !PassesTwice(a);
  Result result = {};
  if (a.logits.rows > 0) {
    if (fused) {
      result = LaunchFusedRows(a, memory, limits, launch);
    } else {
      polka_log_prob_forward_args f = {};
      f.struct_size = sizeof f;
      f.logits = a.logits;
      f.targets = a.targets;
      f.softmax = a.softmax;
      f.log_prob = memory.log_prob;
      f.entropy = memory.entropy;
      f.max = memory.max;
      f.log_sum = memory.log_sum;
      result = LaunchLogProbForward(f, limits, memory.status, launch);
    }
  }
  if (result == Result{}) result = LaunchTokenObjective(a, memory, launch);
  if (result != Result{} || fused || a.d_logits.data == 0 || a.logits.rows == 0) return result;
  polka_log_prob_backward_args b = {};
  b.struct_size = sizeof b;
  b.logits = a.logits;
  b.targets = a.targets;
  b.softmax = a.softmax;
  b.max = memory.max;
  b.log_sum = memory.log_sum;
  b.entropy = memory.entropy;
  b.d_log_prob = memory.d_log_prob;
  b.d_entropy = a.objective.entropy_coefficient == 0 ? 0 : memory.d_entropy;
  b.d_logits = a.d_logits;
  b.gradient_scale = 1;  // it is in d_log_prob and d_entropy already
  return LaunchLogProbBackward(b, limits, memory.status, launch, true);
}

}  // namespace polka::cuda
