// log_prob on the device: [rows, vocabulary] logits -> per-row log-probs and statistics, and back.
//
// Forward reads each logit once (V s bytes a row), straight into registers. Backward reads and writes
// each once. A row belongs to one warp where it has few tiles, else to a block, and to a cluster of
// blocks where rows are too few to fill the device; the bits are the same.
#pragma once

#include "device/targets.cuh"
#include "row_plan.cuh"

namespace polka::cuda {

// ---- forward --------------------------------------------------------------------------------------

struct LogProbForwardParams {
  polka_log_prob_forward_args args;
  Team team;
  uint64_t status;  // address of the status word, or 0
};

template <class T, Level kLevel>
struct LogProbForwardKernel {
  using Params = LogProbForwardParams;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksPerSm = kLevel == Level::kAll ? 2 : 3;
  static constexpr bool kGeneral = kLevel == Level::kAll;

  template <class Context>
  POLKA_DEVICE static void Put(Context& ctx, uint64_t address, int64_t row, float value) {
    if (address != 0) ctx.Store(reinterpret_cast<float*>(address) + row, value);
  }

  template <class Context>
  POLKA_DEVICE static void PutRow(Context& ctx, const polka_log_prob_forward_args& a, int64_t r,
                                  const SoftmaxOutputs& out) {
    Put(ctx, a.log_prob, r, out.log_prob);
    Put(ctx, a.max, r, out.max);
    Put(ctx, a.log_sum, r, out.log_sum);
    Put(ctx, a.lse, r, out.lse);
    if constexpr (kLevel != Level::kPlain) Put(ctx, a.entropy, r, out.entropy);
    if constexpr (kLevel == Level::kAll) {
      Put(ctx, a.sum_p2, r, out.sum_p2);
      Put(ctx, a.mean_logit, r, out.mean_logit);
      Put(ctx, a.self_certainty, r, out.self_certainty);
      Put(ctx, a.finite_columns, r, out.finite);
      Put(ctx, a.top1, r, out.top1);
      Put(ctx, a.top2, r, out.top2);
      Put(ctx, a.second_log_prob, r, out.second_log_prob);
    }
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_log_prob_forward_args& a = p.args;
    const Team& team = p.team;
    team.Start(ctx);
    const int64_t r = team.Row(ctx);
    if (r >= a.logits.rows) return;
    const bool writes = team.First(ctx) && ctx.Lane() == 0;
    LogitsRow<T> row = LogitsRowOf<T>(ctx, a.logits, a.softmax, r, -1);
    const TargetOf target = ReadTarget(ctx, a.targets, r, row.span.columns);
    const bool bad_temperature = !GoodTemperature(row.temperature);
    team.Started(ctx);
    if (target.state != RowState::kFine || bad_temperature) {
      if (!writes) return;
      if (target.state == RowState::kSkipped) return PutRow(ctx, a, r, SoftmaxOutputs{});
      if (bad_temperature) {
        ReportRow(ctx, p.status, r, BadRow::kTemperature, BitCast<uint32_t>(row.temperature));
      } else {
        ReportRow(ctx, p.status, r, BadRow::kTarget, ClampedBits(target.column));
      }
      return PutRow(ctx, a, r, {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN});
    }
    row.target = target.column;
    if (kLevel == Level::kAll && a.second_log_prob != 0) row.second_temperature = a.second_temperature;
    const SoftmaxWants wants = {kLevel != Level::kPlain, kLevel == Level::kAll,
                                kLevel == Level::kAll && (a.mean_logit != 0 || a.self_certainty != 0 ||
                                                          a.finite_columns != 0 || a.top1 != 0 || a.top2 != 0)};

    const int tiles = static_cast<int>(TileCount<T>(row.span.columns));
    const int table = team.warps_per_row == 1 ? ctx.Warp() : 0;
    const StatsTable stats = {{static_cast<uint32_t>(table * tiles * kStatsWords<kLevel> * 4)}, tiles};
    for (int t = team.Member(ctx); t < tiles; t += team.Members()) {
      const int64_t begin = static_cast<int64_t>(t) * kTileColumns<T>;
      TileVectors tile;
      LoadTile(ctx, row.span, begin, tile);
      PutTile<kLevel>(ctx, team, stats, t, ComputeTile<kLevel, kGeneral>(ctx, row, begin, tile, wants));
    }
    team.Barrier(ctx);
    if (!team.First(ctx)) return;
    const TileStats total = MergeTiles<kLevel>(ctx, stats, row.temperature, row.second_temperature);
    const float y = TargetLogit(ctx, row);
    const SoftmaxOutputs out =
        FinishSoftmax(total.stats, total.shape, true, y, row.temperature, row.second_temperature, wants);
    if (writes) PutRow(ctx, a, r, out);
  }
};

// Plans, chooses the kernel, launches it.
template <class Launcher>
typename Launcher::Result LaunchLogProbForward(const polka_log_prob_forward_args& a, const DeviceLimits& limits,
                                               uint64_t status, const Launcher& launch) {
  const bool all = a.sum_p2 != 0 || a.mean_logit != 0 || a.self_certainty != 0 || a.finite_columns != 0 ||
                   a.top1 != 0 || a.top2 != 0 || a.second_log_prob != 0 || a.softmax.softcap != 0 ||
                   a.softmax.keep_mask != 0;
  const auto with = [&]<class T, Level kLevel>() {
    const int64_t columns = a.softmax.valid_vocab == 0 ? a.logits.cols : a.softmax.valid_vocab;
    const RowPlan plan = PlanRows(a.logits.rows, TileCount<T>(columns), kStatsWords<kLevel>, limits);
    return launch(LogProbForwardKernel<T, kLevel>{}, plan.launch, {a, plan.team, status});
  };
  const auto with_type = [&]<class T>() {
    if (all) return with.template operator()<T, Level::kAll>();
    if (a.entropy != 0) return with.template operator()<T, Level::kEntropy>();
    return with.template operator()<T, Level::kPlain>();
  };
  switch (a.logits.dtype) {
    case POLKA_BF16:
      return with_type.template operator()<Bf16>();
    case POLKA_F16:
      return with_type.template operator()<Half>();
    default:
      return with_type.template operator()<float>();
  }
}

// ---- backward -------------------------------------------------------------------------------------

struct LogProbBackwardParams {
  polka_log_prob_backward_args args;
  Team team;
  uint64_t status;
  bool skip_zero;  // a row without upstream gradients gets zeros, even where its logits are NaN
};

template <class T, class Out, bool kGeneral>
struct LogProbBackwardKernel {
  using Params = LogProbBackwardParams;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksPerSm = 2;

  template <class Context>
  POLKA_DEVICE static float Given(Context& ctx, uint64_t address, int64_t row) {
    return address == 0 ? 0.0f : ctx.Load(reinterpret_cast<const float*>(address) + row);
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_log_prob_backward_args& a = p.args;
    const Team& team = p.team;
    const int64_t r = team.Row(ctx);
    if (r >= a.logits.rows) return;
    const int member = team.Member(ctx), members = team.Members();
    LogitsRow<T> row = LogitsRowOf<T>(ctx, a.logits, a.softmax, r, -1);
    RowSpan<Out> out = RowOf<Out>(a.d_logits, r, a.d_logits.cols);
    const TargetOf target = ReadTarget(ctx, a.targets, r, row.span.columns);
    if (target.state != RowState::kFine) {
      if (target.state == RowState::kBad && member == 0 && ctx.Lane() == 0) {
        ReportRow(ctx, p.status, r, BadRow::kTarget, ClampedBits(target.column));
      }
      return FillColumns(ctx, out, 0, target.state == RowState::kSkipped ? 0.0f : NAN, member, members);
    }
    row.target = target.column;
    const float d_entropy = Given(ctx, a.d_entropy, r), d_self_certainty = Given(ctx, a.d_self_certainty, r);
    const float given = Given(ctx, a.d_log_prob, r);
    if (p.skip_zero && given == 0 && d_entropy == 0 && d_self_certainty == 0) {
      return FillColumns(ctx, out, 0, 0.0f, member, members);
    }
    // In place, the target's logit must be read by all before anyone writes. One warp alone meets a
    // barrier further down where its row is not aligned.
    const float y = TargetLogit(ctx, row);
    const bool unaligned = out.Shift() != 0;
    if (a.d_logits.data == a.logits.data && (members > 1 || !unaligned)) team.Barrier(ctx);

    const float max = Given(ctx, a.max, r), log_sum = Given(ctx, a.log_sum, r);
    const float entropy = Given(ctx, a.entropy, r), finite = Given(ctx, a.finite_columns, r);
    // The log-prob of a target at -inf is -inf whatever the other logits are: no gradient from it.
    const float d_log_prob = y == -INFINITY ? 0 : given;
    const float scale = (a.gradient_scale == 0 ? 1 : a.gradient_scale) / row.temperature;
    const Exponent exponent(max, row.log2e_over_t);
    const SoftmaxGradient g = GradientCoefficients(d_log_prob, d_entropy, d_self_certainty, entropy, finite,
                                                   fmaf(exponent.delta, kLn2, log_sum), scale);
    float at_target = TargetGradient(LogProbability(y, max, log_sum, row.temperature), d_log_prob, d_entropy,
                                     d_self_certainty, entropy, finite, scale);
    if (row.softcap != 0) at_target *= 1 - (y / row.softcap) * (y / row.softcap);

    out.columns = row.span.columns;
    const int tiles = static_cast<int>(TileCount<T>(row.span.columns));
    for (int t = member; t < tiles; t += members) {
      const int64_t begin = static_cast<int64_t>(t) * kTileColumns<T>;
      TileVectors tile;
      LoadTile(ctx, row.span, begin, tile);
      // Lanes of an unaligned row write into each other's columns.
      if (unaligned) ctx.WarpBarrier();
      WriteGradientTile<kGeneral, kGeneral>(ctx, row, begin, tile, exponent, g, y != -INFINITY, at_target, out);
    }
    out.columns = a.d_logits.cols;
    FillColumns(ctx, out, row.span.columns, 0.0f, member, members);
  }
};

template <class Launcher>
typename Launcher::Result LaunchLogProbBackward(const polka_log_prob_backward_args& a, const DeviceLimits& limits,
                                                uint64_t status, const Launcher& launch, bool skip_zero = false) {
  const bool general =
      a.d_entropy != 0 || a.d_self_certainty != 0 || a.softmax.softcap != 0 || a.softmax.keep_mask != 0;
  const auto with = [&]<class T, class Out, bool kGeneral>() {
    const int64_t columns = a.softmax.valid_vocab == 0 ? a.logits.cols : a.softmax.valid_vocab;
    const RowPlan plan = PlanRows(a.logits.rows, TileCount<T>(columns), 0, limits);
    return launch(LogProbBackwardKernel<T, Out, kGeneral>{}, plan.launch, {a, plan.team, status, skip_zero});
  };
  const auto with_types = [&]<class T, class Out>() {
    return general ? with.template operator()<T, Out, true>() : with.template operator()<T, Out, false>();
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

}  // namespace polka::cuda
