// group_advantage on the device: a thread a group, which reads its rewards twice, in f64 and in order,
// and writes their advantages: the bits are the CPU's. Rewards are few, one per sequence; the launch
// itself is most of the time.
#pragma once

#include "device/launch.cuh"
#include "device/math.cuh"
#include "device/span.cuh"

namespace polka::cuda {

struct GroupAdvantageParams {
  polka_group_advantage_args args;
  uint64_t status;
};

template <class Reward, class Advantages>
struct GroupAdvantageKernel {
  using Params = GroupAdvantageParams;
  static constexpr int kThreads = 128;
  static constexpr int kBlocksPerSm = 4;

  // The rewards of a group, for the formulas.
  template <class Context>
  struct Rewards {
    Context& ctx;
    const Reward* first;
    POLKA_DEVICE Reward operator[](int64_t i) const { return ctx.Load(first + i); }
  };

  // Their weights; ones where there are none, or none are asked for.
  template <class Context>
  struct Weights {
    Context& ctx;
    const double* first;
    POLKA_DEVICE double operator[](int64_t i) const { return first == nullptr ? 1 : ctx.Load(first + i); }
  };

  template <class T, class Context>
  POLKA_DEVICE static void Put(Context& ctx, uint64_t address, int64_t g, T value) {
    if (address != 0) ctx.Store(reinterpret_cast<T*>(address) + g, value);
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_group_advantage_args& a = p.args;
    const int64_t g = ctx.Block() * kThreads + ctx.Warp() * kWarpLanes + ctx.Lane();
    if (g >= a.groups) return;
    const Span span = SpanOf(ctx, p.status, a.group_offsets, a.groups, a.count, g);
    const int64_t begin = span.begin, end = span.end;
    bool bad = span.bad;

    const Rewards<Context> rewards = {ctx, reinterpret_cast<const Reward*>(a.rewards) + begin};
    for (int64_t i = 0; i < end - begin; ++i) {
      const double r = static_cast<double>(rewards[i]);
      if (!IsTooLarge(r)) continue;
      ReportRow(ctx, p.status, begin + i, BadRow::kReward, 0);
      bad = true;
    }
    const bool weighs = a.baseline == POLKA_BASELINE_WEIGHTED_MEAN || a.baseline == POLKA_BASELINE_SOFT_MEAN;
    const bool weighted = weighs && a.weights != 0;
    const Weights<Context> weights = {ctx, weighted ? reinterpret_cast<const double*>(a.weights) + begin : nullptr};
    for (int64_t i = 0; weighted && i < end - begin; ++i) {
      const double w = weights[i];
      if (w >= 0 && w < INFINITY) continue;
      ReportRow(ctx, p.status, begin + i, BadRow::kWeight, 0);
      bad = true;
    }
    const GroupStatistics group = DescribeGroup(a, rewards, weights, end - begin);
    if (group.finite == 1 && a.singleton == POLKA_SINGLETON_ERROR) {
      ReportRow(ctx, p.status, g, BadRow::kSingleton, 0);
      bad = true;
    }
    Advantages* advantages = reinterpret_cast<Advantages*>(a.advantages);
    for (int64_t i = 0; i < end - begin; ++i) {
      const double advantage = Advantage(a, group, static_cast<double>(rewards[i]), i);
      ctx.Store(advantages + begin + i, static_cast<Advantages>(bad ? NAN : advantage));
    }
    Put(ctx, a.mean, g, bad ? static_cast<double>(NAN) : group.mean);
    Put(ctx, a.std, g, bad ? static_cast<double>(NAN) : group.std);
    Put(ctx, a.finite_count, g, group.finite);
    Put(ctx, a.zero_variance, g, static_cast<uint8_t>(group.equal));
  }
};

template <class Launcher>
typename Launcher::Result LaunchGroupAdvantage(const polka_group_advantage_args& a, uint64_t status,
                                               const Launcher& launch) {
  const auto with = [&]<class Reward, class Advantages>() {
    using Kernel = GroupAdvantageKernel<Reward, Advantages>;
    const int64_t blocks = (a.groups + Kernel::kThreads - 1) / Kernel::kThreads;
    return launch(Kernel{}, {blocks, Kernel::kThreads, 1, 0}, {a, status});
  };
  const bool to_f32 = a.advantage_dtype == POLKA_F32;
  if (a.reward_dtype == POLKA_F32) {
    return to_f32 ? with.template operator()<float, float>() : with.template operator()<float, double>();
  }
  return to_f32 ? with.template operator()<double, float>() : with.template operator()<double, double>();
}

}  // namespace polka::cuda
