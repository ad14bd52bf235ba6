// Statistics of one group of rewards and the advantage of each reward against them.
// Needs number.inl and polka.h. NaN rewards are left out everywhere.

// Rewards beyond this are refused: the sum and the differences of a group of 10^6 stay finite below
// it.
constexpr double kMostReward = 1e301;

POLKA_MATH bool IsTooLarge(double reward) { return reward > kMostReward || reward < -kMostReward; }

struct GroupStatistics {
  double mean;     // NaN for a group without a finite reward
  double std;      // 0 where all finite rewards are equal, NaN without one
  int64_t finite;  // rewards that are not NaN
  bool equal;      // all of them are the same number; true for one or none
  int64_t low_at;  // where the first of the lowest and of the highest rewards lies
  int64_t high_at;
  double low;
  double high;
  double squares;          // sum of ((reward - mean) / (high - low))^2
  double baseline;         // weighted or soft mean, or the best reward but for the one at high_at
  bool weightless;         // weights count, and those of the finite rewards are all 0
  double std_without_low;  // of the others, over n - 2
  double std_without_high;
};

// The standard deviation of all finite rewards but the one at `without`, over n - 2; 0 where they are
// all equal, or one or none. Two passes, deviations relative to the range.
template <class Rewards>
POLKA_MATH double StdOfOthers(const Rewards& rewards, int64_t count, int64_t without) {
  double sum = 0, low = INFINITY, high = -INFINITY, n = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double r = static_cast<double>(rewards[i]);
    if (i == without || r != r) continue;
    sum += r;
    low = r < low ? r : low;
    high = r > high ? r : high;
    n += 1;
  }
  if (n < 2 || low == high) return 0;
  const double mean = sum / n, range = high - low;
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double deviation = (static_cast<double>(rewards[i]) - mean) / range;
    if (i != without && deviation == deviation) squares += deviation * deviation;
  }
  return range * sqrt(squares / (n - 1));
}

// sum_j w_j R_j / sum_j w_j, or ln(sum_j w_j exp(beta R_j) / sum_j w_j) / beta with the exponents
// taken from the reward that makes the largest, through expm1 and log1p, so that a beta near 0 gives
// the mean.
template <class Rewards, class Weights>
POLKA_MATH void AddWeightedBaseline(const polka_group_advantage_args& a, const Rewards& rewards, const Weights& weights,
                                    int64_t count, GroupStatistics& group) {
  const bool soft = a.baseline == POLKA_BASELINE_SOFT_MEAN;
  const double anchor = soft ? (a.soft_beta > 0 ? group.high : group.low) : group.mean;
  double sum = 0, total = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double r = static_cast<double>(rewards[i]), w = weights[i];
    if (r != r || w == 0) continue;
    sum += w * (soft ? expm1(a.soft_beta * (r - anchor)) : r - anchor);
    total += w;
  }
  group.weightless = total == 0;
  if (total == 0) return;
  group.baseline = anchor + (soft ? log1p(sum / total) / a.soft_beta : sum / total);
}

// Two passes in f64. Equality is tested on the rewards themselves: the mean of n equal numbers need
// not be that number, and the difference over a tiny epsilon is no longer tiny. Deviations are taken
// relative to the range, so that their squares neither vanish nor overflow.
// `rewards` and `weights` are anything with an operator[].
template <class Rewards, class Weights>
POLKA_MATH GroupStatistics DescribeGroup(const polka_group_advantage_args& a, const Rewards& rewards,
                                         const Weights& weights, int64_t count) {
  GroupStatistics group = {NAN, NAN, 0, true, -1, -1, INFINITY, -INFINITY, 0, 0, false, 0, 0};
  double sum = 0, second = -INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    const double r = static_cast<double>(rewards[i]);
    if (r != r) continue;
    sum += r;
    if (r < group.low) {
      group.low = r;
      group.low_at = i;
    }
    if (r > group.high) {
      second = group.high;
      group.high = r;
      group.high_at = i;
    } else if (r > second) {
      second = r;
    }
    ++group.finite;
  }
  if (group.finite == 0) return group;
  group.mean = group.low;
  group.std = 0;
  group.equal = group.low == group.high;
  if (group.equal) return group;
  const double range = group.high - group.low;
  group.mean = sum / static_cast<double>(group.finite);
  for (int64_t i = 0; i < count; ++i) {
    const double deviation = (static_cast<double>(rewards[i]) - group.mean) / range;
    if (deviation == deviation) group.squares += deviation * deviation;
  }
  const int64_t degrees = a.scale == POLKA_SCALE_STD_BIASED ? group.finite : group.finite - 1;
  group.std = range * sqrt(group.squares / static_cast<double>(degrees));
  if (a.baseline == POLKA_BASELINE_WEIGHTED_MEAN || a.baseline == POLKA_BASELINE_SOFT_MEAN) {
    AddWeightedBaseline(a, rewards, weights, count, group);
  } else if (a.baseline == POLKA_BASELINE_RUNNER_UP) {
    group.baseline = second;
  }
  if (a.scale == POLKA_SCALE_STD_LEAVE_ONE_OUT) {
    group.std_without_low = StdOfOthers(rewards, count, group.low_at);
    group.std_without_high = StdOfOthers(rewards, count, group.high_at);
  }
  return group;
}

// The standard deviation of all rewards but number i. Taking one square from the sum would cancel
// where that reward lies far from all others, which only the lowest and the highest can: theirs are
// summed anew. Any other has one at least as far out on its side, so that more than half of the
// sum is left.
POLKA_MATH double StdWithout(const GroupStatistics& group, double reward, int64_t i) {
  if (i == group.low_at) return group.std_without_low;
  if (i == group.high_at) return group.std_without_high;
  const double n = static_cast<double>(group.finite), range = group.high - group.low;
  const double deviation = (reward - group.mean) / range;
  const double squares = group.squares - deviation * deviation * n / (n - 1);
  return range * sqrt((squares > 0 ? squares : 0) / (n - 2));
}

// Reward number i less its baseline; the leave-one-out baseline is written as
// reward - mean_{j != i} = (reward - mean) n / (n - 1).
POLKA_MATH double Centered(int32_t baseline, const GroupStatistics& group, double reward, int64_t i) {
  switch (baseline) {
    case POLKA_BASELINE_MEAN:
      return reward - group.mean;
    case POLKA_BASELINE_LEAVE_ONE_OUT:
      return (reward - group.mean) * (static_cast<double>(group.finite) / static_cast<double>(group.finite - 1));
    case POLKA_BASELINE_RUNNER_UP:
      return i == group.high_at ? reward - group.baseline : 0;
    default:
      return reward - group.baseline;
  }
}

// The advantage of reward number i of its group.
POLKA_MATH double Advantage(const polka_group_advantage_args& a, const GroupStatistics& group, double reward,
                            int64_t i) {
  if (reward != reward) return 0;
  const bool raw = group.finite == 1 && a.singleton == POLKA_SINGLETON_RAW;
  if ((group.equal && !raw) || group.weightless) return 0;
  const double centered = raw ? reward : Centered(a.baseline, group, reward, i);
  double divisor = raw ? 1 : group.std;
  switch (a.scale) {
    case POLKA_SCALE_NONE:
      return centered;
    case POLKA_SCALE_GIVEN:
      divisor = a.given_scale;
      break;
    case POLKA_SCALE_MEAN:
      divisor = raw ? 1 : group.mean;
      if (!(divisor > 0)) return 0;
      break;
    case POLKA_SCALE_STD_LEAVE_ONE_OUT:
      divisor = raw ? 1 : StdWithout(group, reward, i);
      if (divisor == 0) return centered;
      break;
    default:
      break;
  }
  if (a.epsilon_placement == POLKA_EPSILON_IN_SQRT) {
    const bool overflows = divisor > 1e150;  // its square would
    return centered /
           (overflows ? divisor * sqrt(1 + a.epsilon / divisor / divisor) : sqrt(divisor * divisor + a.epsilon));
  }
  return centered / (divisor + a.epsilon);
}
