// Group-relative advantages: one group after another, two passes over its rewards in f64 and one
// that writes. A group belongs to one thread, so its sums have one order. Rewards are few (one per
// sequence): threads pay only for very large batches.
#include <math.h>

#include "cuda_backend.h"
#include "parallel.h"
#include "polka.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "group_advantage.inl"

// Groups that a thread takes at a time.
constexpr int64_t kGroupsPerChunk = 64;

const int64_t* Offsets(const polka_group_advantage_args& args) {
  return reinterpret_cast<const int64_t*>(args.group_offsets);
}

bool Weighs(const polka_group_advantage_args& args) {
  return args.weights != 0 &&
         (args.baseline == POLKA_BASELINE_WEIGHTED_MEAN || args.baseline == POLKA_BASELINE_SOFT_MEAN);
}

// The weights of a group, for the formulas.
struct Weights {
  const double* first;  // null: ones
  double operator[](int64_t i) const { return first == nullptr ? 1 : first[i]; }
};

polka_status CheckOptions(const polka_group_advantage_args& args) {
  if (args.reward_dtype != POLKA_F32 && args.reward_dtype != POLKA_F64) {
    return Fail(POLKA_INVALID_ARGUMENT, "rewards: dtype %s (%d) is not f32 or f64", DtypeName(args.reward_dtype),
                args.reward_dtype);
  }
  if (args.advantage_dtype != POLKA_F32 && args.advantage_dtype != POLKA_F64) {
    return Fail(POLKA_INVALID_ARGUMENT, "advantages: dtype %s (%d) is not f32 or f64", DtypeName(args.advantage_dtype),
                args.advantage_dtype);
  }
  POLKA_TRY(CheckOption(args.baseline, POLKA_BASELINE_RUNNER_UP, "baseline"));
  POLKA_TRY(CheckOption(args.scale, POLKA_SCALE_GIVEN, "scale"));
  POLKA_TRY(CheckOption(args.epsilon_placement, POLKA_EPSILON_IN_SQRT, "epsilon_placement"));
  POLKA_TRY(CheckOption(args.singleton, POLKA_SINGLETON_ERROR, "singleton"));
  if (!(args.epsilon >= 0) || !isfinite(args.epsilon)) {
    return Fail(POLKA_INVALID_ARGUMENT, "epsilon: %g is not finite and >= 0", args.epsilon);
  }
  if (args.baseline == POLKA_BASELINE_SOFT_MEAN && (args.soft_beta == 0 || !isfinite(args.soft_beta))) {
    return Fail(POLKA_INVALID_ARGUMENT, "soft_beta: %g is not finite and other than 0", args.soft_beta);
  }
  if (args.scale == POLKA_SCALE_GIVEN && (!(args.given_scale >= 0) || !isfinite(args.given_scale))) {
    return Fail(POLKA_INVALID_ARGUMENT, "given_scale: %g is not finite and >= 0", args.given_scale);
  }
  return POLKA_OK;
}

polka_status CheckMemory(const polka_group_advantage_args& args) {
  if (args.count < 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "count: %lld is negative", static_cast<long long>(args.count));
  }
  POLKA_TRY(CheckArray(args.rewards, args.count, DtypeBytes(args.reward_dtype), "rewards"));
  POLKA_TRY(CheckArray(args.advantages, args.count, DtypeBytes(args.advantage_dtype), "advantages"));
  POLKA_TRY(CheckArray(args.group_offsets, 0, 8, "group_offsets"));
  POLKA_TRY(CheckOffsets(args.group_offsets, args.groups, args.count, "group_offsets", OnCpu(args.exec)));
  POLKA_TRY(CheckArray(args.weights, 0, 8, "weights"));
  POLKA_TRY(CheckArray(args.mean, 0, 8, "mean"));
  POLKA_TRY(CheckArray(args.std, 0, 8, "std"));
  return CheckArray(args.finite_count, 0, 8, "finite_count");
}

template <class Reward>
polka_status CheckRewards(const polka_group_advantage_args& args) {
  const Reward* rewards = reinterpret_cast<const Reward*>(args.rewards);
  for (int64_t i = 0; i < args.count; ++i) {
    if (IsTooLarge(static_cast<double>(rewards[i]))) {
      return Fail(POLKA_INVALID_ARGUMENT, "rewards: reward %lld is %g, outside [-1e301, 1e301]",
                  static_cast<long long>(i), static_cast<double>(rewards[i]));
    }
  }
  const double* weights = Weighs(args) ? reinterpret_cast<const double*>(args.weights) : nullptr;
  for (int64_t i = 0; weights != nullptr && i < args.count; ++i) {
    if (!(weights[i] >= 0) || isinf(weights[i])) {
      return Fail(POLKA_INVALID_ARGUMENT, "weights: weight %lld is %g, not finite and >= 0", static_cast<long long>(i),
                  weights[i]);
    }
  }
  if (args.singleton != POLKA_SINGLETON_ERROR) return POLKA_OK;
  for (int64_t g = 0; g < args.groups; ++g) {
    int64_t finite = 0;
    for (int64_t i = Offsets(args)[g]; i < Offsets(args)[g + 1]; ++i) finite += rewards[i] == rewards[i];
    if (finite == 1) {
      return Fail(POLKA_INVALID_ARGUMENT, "rewards: group %lld has one finite reward, at least 2 are needed",
                  static_cast<long long>(g));
    }
  }
  return POLKA_OK;
}

void WriteStatistics(const polka_group_advantage_args& args, int64_t g, const GroupStatistics& group) {
  if (args.mean != 0) reinterpret_cast<double*>(args.mean)[g] = group.mean;
  if (args.std != 0) reinterpret_cast<double*>(args.std)[g] = group.std;
  if (args.finite_count != 0) reinterpret_cast<int64_t*>(args.finite_count)[g] = group.finite;
  if (args.zero_variance != 0) reinterpret_cast<uint8_t*>(args.zero_variance)[g] = group.equal;
}

template <class Reward, class Result>
void Run(const polka_group_advantage_args& args) {
  const Reward* rewards = reinterpret_cast<const Reward*>(args.rewards);
  Result* advantages = reinterpret_cast<Result*>(args.advantages);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; ++g) {
      const int64_t first = Offsets(args)[g], last = Offsets(args)[g + 1];
      const Weights weights = {Weighs(args) ? reinterpret_cast<const double*>(args.weights) + first : nullptr};
      const GroupStatistics group = DescribeGroup(args, rewards + first, weights, last - first);
      for (int64_t i = first; i < last; ++i) {
        advantages[i] = static_cast<Result>(Advantage(args, group, static_cast<double>(rewards[i]), i - first));
      }
      WriteStatistics(args, g, group);
    }
  };
  const int64_t bytes = args.count * static_cast<int64_t>(3 * sizeof(Reward) + sizeof(Result)) + args.groups * 40;
  ParallelFor(ThreadsFor(args.exec, bytes), args.groups, kGroupsPerChunk, body);
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_group_advantage(polka_group_advantage_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "group_advantage"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec, true));
  POLKA_TRY(CheckOptions(*args));
  POLKA_TRY(CheckMemory(*args));
  if (!OnCpu(args->exec)) return kCudaBackend.group_advantage(args);
  const bool f32 = args->reward_dtype == POLKA_F32, to_f32 = args->advantage_dtype == POLKA_F32;
  POLKA_TRY(f32 ? CheckRewards<float>(*args) : CheckRewards<double>(*args));
  if (f32) {
    to_f32 ? Run<float, float>(*args) : Run<float, double>(*args);
  } else {
    to_f32 ? Run<double, float>(*args) : Run<double, double>(*args);
  }
  return POLKA_OK;
}
