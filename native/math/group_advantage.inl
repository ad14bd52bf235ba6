// Statistics of one group of rewards and the advantage of each reward against them.
// Needs number.inl and polka.h. NaN rewards are left out everywhere.

struct GroupStatistics {
  double mean;     // NaN for a group without a finite reward
  double std;      // 0 where all finite rewards are equal, NaN without one
  int64_t finite;  // rewards that are not NaN
  bool equal;      // all of them are the same number; true for one or none
};

// Two passes in f64. Equality is tested on the rewards themselves: the mean of n equal numbers need
// not be that number, and the difference over a tiny epsilon is no longer tiny. Deviations are taken
// relative to the range, so that their squares neither vanish nor overflow.
// `rewards` is anything with an operator[].
template <class Rewards>
POLKA_MATH GroupStatistics DescribeGroup(const Rewards& rewards, int64_t count, bool biased) {
  double sum = 0, low = INFINITY, high = -INFINITY;
  int64_t finite = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double r = static_cast<double>(rewards[i]);
    if (r != r) continue;
    sum += r;
    low = r < low ? r : low;
    high = r > high ? r : high;
    ++finite;
  }
  if (finite == 0) return {NAN, NAN, 0, true};
  if (low == high) return {low, 0, finite, true};
  const double mean = sum / static_cast<double>(finite), range = high - low;
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double deviation = (static_cast<double>(rewards[i]) - mean) / range;
    if (deviation == deviation) squares += deviation * deviation;
  }
  return {mean, range * sqrt(squares / static_cast<double>(biased ? finite : finite - 1)), finite, false};
}

// (reward - baseline) / scale, with the leave-one-out baseline written as
// reward - mean_{j != i} = (reward - mean) n / (n - 1).
POLKA_MATH double Advantage(double reward, const GroupStatistics& group, int32_t baseline, int32_t scale,
                            int32_t epsilon_placement, int32_t singleton, double epsilon) {
  if (reward != reward) return 0;
  const bool raw = group.finite == 1 && singleton == POLKA_SINGLETON_RAW;
  if (group.equal && !raw) return 0;
  double centered = raw ? reward : reward - group.mean;
  if (!raw && baseline == POLKA_BASELINE_LEAVE_ONE_OUT) {
    centered *= static_cast<double>(group.finite) / static_cast<double>(group.finite - 1);
  }
  if (scale == POLKA_SCALE_NONE) return centered;
  const double std = raw ? 1 : group.std;
  return centered / (epsilon_placement == POLKA_EPSILON_IN_SQRT ? sqrt(std * std + epsilon) : std + epsilon);
}
