// A batch for policy_loss in vectors, and the call on it. Tests start from a plain one and change it.
#pragma once

#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka::test {

// Everything off: the ratio times the advantage.
inline polka_policy_objective PlainObjective() {
  polka_policy_objective o = {};
  o.clip_low = o.clip_high = INFINITY;
  o.max_log_ratio = o.sequence_max_log_ratio = o.k3_max = INFINITY;
  return o;
}

inline polka_policy_objective PpoObjective() {
  polka_policy_objective o = PlainObjective();
  o.clip_low = 0.2f;
  o.clip_high = 0.28f;
  o.max_log_ratio = o.sequence_max_log_ratio = 20;
  return o;
}

// The options that every kind needs to be valid.
inline polka_policy_objective ObjectiveOf(int32_t kind) {
  polka_policy_objective o = PpoObjective();
  o.kind = kind;
  o.tau_positive = 1;
  o.tau_negative = 1.05f;
  o.shape_positive = o.rate_negative = 2;
  o.rate_positive = o.shape_negative = 3;
  o.trust_low = o.trust_high = 0.05f;
  o.regression_scale = 0.5f;
  if (kind >= POLKA_OBJECTIVE_GMPO) o.ratio_level = POLKA_RATIO_SEQUENCE;
  return o;
}

// Vectors that are empty are absent.
struct PolicyBatch {
  std::vector<int64_t> offsets = {0};
  std::vector<uint8_t> mask;
  std::vector<float> log_prob, old, ref, behaviour, advantages, weights, anchor_weights, nll_weights, entropy;
  std::vector<int64_t> loss_tokens, entropy_tokens;
  double divisor = 1, entropy_divisor = 1, nll_divisor = 1;
  bool advantage_per_sequence = false;
  float gradient_scale = 0;
  polka_policy_objective objective = PpoObjective();

  int64_t Rows() const { return static_cast<int64_t>(log_prob.size()); }
  int64_t Sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

struct PolicyResult {
  std::vector<float> d_log_prob, d_entropy;
  polka_policy_loss_metrics metrics;
};

template <class T>
uint64_t AddressOrZero(const std::vector<T>& v) {
  return v.empty() ? 0 : Address(v.data());
}

// Arguments over the batch's and the result's memory, without a workspace.
inline polka_policy_loss_args PolicyArguments(const PolicyBatch& b, PolicyResult& result) {
  polka_policy_loss_args args = {};
  args.struct_size = sizeof args;
  args.exec.threads = 1;
  args.logits.rows = b.Rows();
  args.targets.mask = AddressOrZero(b.mask);
  args.batch = {b.Sequences(),
                AddressOrZero(b.offsets),
                AddressOrZero(b.old),
                AddressOrZero(b.ref),
                AddressOrZero(b.advantages),
                AddressOrZero(b.weights),
                b.advantage_per_sequence,
                0,
                AddressOrZero(b.behaviour),
                AddressOrZero(b.anchor_weights),
                AddressOrZero(b.nll_weights)};
  args.objective = b.objective;
  args.normalizer = {b.divisor, AddressOrZero(b.loss_tokens)};
  args.entropy_normalizer = {b.entropy_divisor, AddressOrZero(b.entropy_tokens)};
  args.nll_normalizer = {b.nll_divisor, AddressOrZero(b.loss_tokens)};
  args.log_prob = AddressOrZero(b.log_prob);
  args.entropy = AddressOrZero(b.entropy);
  result.d_log_prob.assign(b.log_prob.size(), -7);
  result.d_entropy.assign(b.log_prob.size(), -7);
  args.d_log_prob = AddressOrZero(result.d_log_prob);
  args.d_entropy = AddressOrZero(result.d_entropy);
  args.metrics = Address(&result.metrics);
  args.gradient_scale = b.gradient_scale;
  return args;
}

// Memory that starts at a multiple of 64.
class Workspace {
 public:
  explicit Workspace(int64_t bytes) : memory_(static_cast<size_t>(bytes) + 64) {}
  uint64_t address() const { return (Address(memory_.data()) + 63) / 64 * 64; }

 private:
  std::vector<uint8_t> memory_;
};

inline PolicyResult Compute(const PolicyBatch& b, int32_t threads = 1) {
  PolicyResult result;
  polka_policy_loss_args args = PolicyArguments(b, result);
  args.exec.threads = threads;
  EXPECT_EQ(polka_policy_loss_from_log_prob_workspace(&args), POLKA_OK) << polka_last_error();
  const Workspace workspace(args.exec.workspace_needed);
  args.exec.workspace = workspace.address();
  args.exec.workspace_bytes = args.exec.workspace_needed;
  EXPECT_EQ(polka_policy_loss_from_log_prob(&args), POLKA_OK) << polka_last_error();
  return result;
}

// Ragged sequences of 0 to 2 * mean_length tokens, every array given, about one row in seven masked.
inline PolicyBatch RandomBatch(uint64_t seed, int sequences = 9, int mean_length = 5) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int> length(0, 2 * mean_length), die(0, 6);
  std::exponential_distribution<float> surprise(0.6f);
  std::normal_distribution<float> normal(0, 1);
  std::uniform_real_distribution<float> uniform(0.3f, 1.7f);
  PolicyBatch b;
  double tokens = 0;
  for (int s = 0; s < sequences; ++s) {
    const int n = s == 0 ? mean_length : length(random);
    b.offsets.push_back(b.offsets.back() + n);
    b.loss_tokens.push_back(0);
    for (int i = 0; i < n; ++i) {
      const float lp = -surprise(random);
      b.log_prob.push_back(lp);
      b.old.push_back(fminf(lp + 0.3f * normal(random), -1e-3f));
      b.ref.push_back(lp + 0.5f * normal(random));
      b.behaviour.push_back(lp + 0.1f * normal(random));
      b.advantages.push_back(normal(random));
      b.weights.push_back(uniform(random));
      b.anchor_weights.push_back(uniform(random));
      b.nll_weights.push_back(uniform(random));
      b.entropy.push_back(2 * uniform(random));
      b.mask.push_back(die(random) != 0);
      b.loss_tokens.back() += b.mask.back();
      tokens += b.mask.back();
    }
  }
  b.divisor = sequences;
  b.entropy_divisor = tokens;
  b.nll_divisor = 3;
  return b;
}

}  // namespace polka::test
