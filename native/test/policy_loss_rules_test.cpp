// The rules that hold for every policy loss: masks select, clamps and infinities, normalisers are
// inputs, splitting and threads change no bit, and every refusal says why.
#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <vector>

#include "policy_batch.h"
#include "token_objective.h"

namespace polka {
namespace {

using test::Compute;
using test::PolicyArguments;
using test::PolicyBatch;
using test::PolicyResult;
using test::RandomBatch;
using test::Workspace;

// Every kind, both ratio levels, both sequence gradients, with every term on.
std::vector<polka_policy_objective> Objectives() {
  std::vector<polka_policy_objective> all;
  for (int32_t kind = POLKA_OBJECTIVE_CLIP; kind <= POLKA_OBJECTIVE_REGRESSION; ++kind) {
    for (int32_t level : {POLKA_RATIO_TOKEN, POLKA_RATIO_SEQUENCE}) {
      for (int32_t gradient : {POLKA_SEQUENCE_TOKEN_DETACHED, POLKA_SEQUENCE_THROUGH_MEAN}) {
        polka_policy_objective o = test::ObjectiveOf(kind);
        if (level == POLKA_RATIO_SEQUENCE) o.ratio_level = level;
        o.sequence_gradient = gradient;
        o.dual_clip = kind == POLKA_OBJECTIVE_CLIP ? 3 : 0;
        o.kl_estimator = o.anchor_estimator = POLKA_KL_K3;
        o.kl_coefficient = o.anchor_coefficient = 0.1;
        o.nll_coefficient = 0.2;
        o.entropy_coefficient = 0.01;
        o.entropy_threshold = level == POLKA_RATIO_TOKEN ? 0.7f : 0;
        o.off_policy_max = gradient == POLKA_SEQUENCE_TOKEN_DETACHED ? 0 : 0.01f;
        all.push_back(o);
      }
    }
  }
  return all;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

void ExpectSameBits(const PolicyResult& a, const PolicyResult& b) {
  EXPECT_TRUE(SameBits(a.d_log_prob, b.d_log_prob));
  EXPECT_TRUE(SameBits(a.d_entropy, b.d_entropy));
  EXPECT_EQ(memcmp(&a.metrics, &b.metrics, sizeof a.metrics), 0);
}

PolicyBatch OneToken(float log_prob, float old, float advantage) {
  PolicyBatch b;
  b.offsets = {0, 1};
  b.log_prob = {log_prob};
  b.old = {old};
  b.ref = {log_prob};
  b.advantages = {advantage};
  return b;
}

// Rows [begin, end) of sequences of b, with the same normalisers.
PolicyBatch Sequences(const PolicyBatch& b, int64_t begin, int64_t end) {
  const int64_t first = b.offsets[begin], last = b.offsets[end];
  const auto rows = [&](const auto& v) {
    return v.empty() ? v : std::decay_t<decltype(v)>(v.begin() + first, v.begin() + last);
  };
  PolicyBatch part = b;
  part.offsets.assign(b.offsets.begin() + begin, b.offsets.begin() + end + 1);
  for (int64_t& o : part.offsets) o -= first;
  part.mask = rows(b.mask);
  part.log_prob = rows(b.log_prob);
  part.old = rows(b.old);
  part.ref = rows(b.ref);
  part.behaviour = rows(b.behaviour);
  part.anchor_weights = rows(b.anchor_weights);
  part.nll_weights = rows(b.nll_weights);
  part.advantages = rows(b.advantages);
  part.weights = rows(b.weights);
  part.entropy = rows(b.entropy);
  part.loss_tokens.assign(b.loss_tokens.begin() + begin, b.loss_tokens.begin() + end);
  return part;
}

TEST(PolicyLossRulesTest, WhateverStandsUnderAMaskChangesNoBit) {
  const float poison[] = {NAN, INFINITY, -INFINITY};
  for (const polka_policy_objective& o : Objectives()) {
    PolicyBatch clean = RandomBatch(1, 40);
    clean.objective = o;
    PolicyBatch dirty = clean;
    for (int64_t i = 0; i < clean.Rows(); ++i) {
      if (clean.mask[i] != 0) continue;
      dirty.log_prob[i] = dirty.old[i] = dirty.ref[i] = poison[i % 3];
      dirty.advantages[i] = dirty.weights[i] = dirty.entropy[i] = poison[(i + 1) % 3];
      dirty.behaviour[i] = dirty.anchor_weights[i] = dirty.nll_weights[i] = poison[(i + 2) % 3];
    }
    const PolicyResult result = Compute(dirty);
    ExpectSameBits(result, Compute(clean));
    for (int64_t i = 0; i < clean.Rows(); ++i) {
      if (clean.mask[i] == 0) {
        EXPECT_EQ(result.d_log_prob[i], 0);
        EXPECT_EQ(result.d_entropy[i], 0);
      }
    }
  }
}

TEST(PolicyLossRulesTest, AnIgnoredTargetSkipsARowAsAMaskDoes) {
  PolicyBatch masked = RandomBatch(7, 20);
  PolicyBatch ignored = masked;
  ignored.mask.clear();
  std::vector<int32_t> targets;
  for (const uint8_t keep : masked.mask) targets.push_back(keep != 0 ? 1 << 30 : -100);
  PolicyResult result;
  polka_policy_loss_args args = PolicyArguments(ignored, result);
  args.targets.data = test::Address(targets.data());
  args.targets.dtype = POLKA_I32;
  args.targets.ignore_index = -100;
  const Workspace workspace(1 << 16);
  args.exec.workspace = workspace.address();
  args.exec.workspace_bytes = 1 << 16;
  ASSERT_EQ(polka_policy_loss_from_log_prob(&args), POLKA_OK) << polka_last_error();
  ExpectSameBits(result, Compute(masked));
}

TEST(PolicyLossRulesTest, ANonFiniteRowMakesItselfAndTheLossNan) {
  for (float bad : {NAN, INFINITY, -INFINITY}) {
    for (auto field : {&PolicyBatch::log_prob, &PolicyBatch::advantages, &PolicyBatch::weights}) {
      PolicyBatch b = RandomBatch(2, 20);
      b.mask = {};
      b.weights.assign(b.log_prob.size(), 1.5f);
      (b.*field)[7] = bad;
      (b.*field)[11] = bad;
      const PolicyResult result = Compute(b);
      EXPECT_TRUE(isnan(result.metrics.loss));
      EXPECT_EQ(result.metrics.non_finite_rows, 2);
      EXPECT_EQ(result.metrics.first_non_finite_row, 7);
      for (int64_t i = 0; i < b.Rows(); ++i) EXPECT_EQ(isnan(result.d_log_prob[i]) != 0, i == 7 || i == 11);
    }
  }
}

TEST(PolicyLossRulesTest, TheFirstNonFiniteRowIsTheLowestOfAllBlocks) {
  PolicyBatch b = RandomBatch(12, 300, 10);
  b.mask = {};
  ASSERT_GT(b.Rows(), 2500);
  for (size_t row : {2400, 1300, 700}) {
    b.log_prob[row] = NAN;
    const polka_policy_loss_metrics m = Compute(b).metrics;
    EXPECT_EQ(m.first_non_finite_row, row);
  }
}

TEST(PolicyLossRulesTest, ASkippedNonFiniteRowIsAMaskedRow) {
  for (const polka_policy_objective& o : Objectives()) {
    for (auto field : {&PolicyBatch::log_prob, &PolicyBatch::advantages, &PolicyBatch::old, &PolicyBatch::ref,
                       &PolicyBatch::weights}) {
      PolicyBatch bad = RandomBatch(3, 20), masked = bad;
      bad.objective = masked.objective = o;
      bad.objective.skip_non_finite = 1;
      bad.mask[5] = 1;
      masked.mask[5] = 0;
      (bad.*field)[5] = NAN;
      PolicyResult result = Compute(bad);
      EXPECT_EQ(result.metrics.non_finite_rows, 1);
      EXPECT_EQ(result.metrics.first_non_finite_row, 5);
      result.metrics.non_finite_rows = 0;
      result.metrics.first_non_finite_row = -1;
      ExpectSameBits(result, Compute(masked));
    }
  }
}

TEST(PolicyLossRulesTest, LargeLogRatiosAreClampedWithoutAGradient) {
  for (float d : {10.5f, 15.0f, 19.9f, 20.1f, 89.0f, 100.0f, INFINITY}) {
    for (float sign : {-1.0f, 1.0f}) {
      PolicyBatch b = OneToken(-1, -1 - sign * d, -1);
      b.objective.clip_low = b.objective.clip_high = INFINITY;
      const double r = exp(fmin(fmax(sign * d, -20.0), 20.0));
      const PolicyResult result = Compute(b);
      EXPECT_NEAR(result.metrics.loss / r, 1, 2e-6) << d;
      EXPECT_NEAR(result.d_log_prob[0], d > 20 ? 0 : r, 2e-6 * r) << d;
      EXPECT_NEAR(result.metrics.approx_kl_sum, -sign * fmin(d, 20), 1e-5) << d;
    }
  }
}

TEST(PolicyLossRulesTest, TheSequenceRatioHasItsOwnUpperBound) {
  for (int32_t gradient : {POLKA_SEQUENCE_TOKEN_DETACHED, POLKA_SEQUENCE_THROUGH_MEAN}) {
    PolicyBatch b;
    b.offsets = {0, 2, 4};
    b.log_prob = {-1, -1, -1, -1};
    b.old = {-8, -10, -1, -100};  // mean log-ratios 8 and 49.5
    b.advantages = {-1, -1, -1, -1};
    b.objective = test::PlainObjective();
    b.objective.ratio_level = POLKA_RATIO_SEQUENCE;
    b.objective.sequence_gradient = gradient;
    b.objective.max_log_ratio = 2;
    b.objective.sequence_max_log_ratio = 10;
    const PolicyResult result = Compute(b);
    EXPECT_NEAR(result.metrics.loss, 2 * exp(8.0) + 2 * exp(10.0), 1e-2);
    EXPECT_NEAR(result.d_log_prob[0], exp(8.0), 1e-3);
    EXPECT_EQ(result.d_log_prob[2], 0);
    EXPECT_EQ(result.d_log_prob[3], 0);
  }
}

TEST(PolicyLossRulesTest, WithoutClampsAnOverflowIsContainedByTheClip) {
  PolicyBatch b = OneToken(-1, -200, 1);
  b.objective.max_log_ratio = INFINITY;
  EXPECT_NEAR(Compute(b).metrics.loss, -1.28, 1e-6);
  EXPECT_EQ(Compute(b).d_log_prob[0], 0);
  b.advantages = {-1};
  EXPECT_EQ(Compute(b).metrics.loss, INFINITY);
  b.objective.dual_clip = 3;
  EXPECT_EQ(Compute(b).metrics.loss, 3);
  EXPECT_EQ(Compute(b).d_log_prob[0], 0);
  b.advantages = {0};
  EXPECT_EQ(Compute(b).metrics.loss, 0);
  EXPECT_EQ(Compute(b).d_log_prob[0], 0);
}

TEST(PolicyLossRulesTest, AKlWithoutACoefficientIsAMetricAndNoMore) {
  PolicyBatch b = OneToken(-1, -1, 1);
  b.ref = {200};
  b.objective.max_log_ratio = INFINITY;
  b.objective.kl_estimator = POLKA_KL_K3;
  const PolicyResult result = Compute(b);
  EXPECT_EQ(result.metrics.kl_sum, INFINITY);
  EXPECT_EQ(result.metrics.loss, -1);
  EXPECT_EQ(result.d_log_prob[0], -1);
}

TEST(PolicyLossRulesTest, AnEntropyWithoutACoefficientIsAMetricAndNoMore) {
  PolicyBatch b = OneToken(-1, -1, 1);
  b.entropy = {NAN};
  const PolicyResult result = Compute(b);
  EXPECT_TRUE(isnan(result.metrics.entropy_loss));
  EXPECT_EQ(result.metrics.loss, -1);
  EXPECT_EQ(result.d_entropy[0], 0);
}

TEST(PolicyLossRulesTest, TheLogProbsOfTheOldPolicyGiveRatioOneAndNoClipping) {
  for (polka_policy_objective o : Objectives()) {
    o.clip_low = o.clip_high = 0;
    PolicyBatch b = RandomBatch(5, 30);
    b.objective = o;
    b.old = b.log_prob;
    const PolicyResult same = Compute(b);
    EXPECT_EQ(same.metrics.ratio_min, 1);
    EXPECT_EQ(same.metrics.ratio_max, 1);
    EXPECT_EQ(same.metrics.clipped_sum, 0);
    EXPECT_EQ(same.metrics.approx_kl_sum, 0);
    b.old = {};
    ExpectSameBits(Compute(b), same);
  }
}

TEST(PolicyLossRulesTest, SplittingBetweenSequencesChangesNoGradientBit) {
  for (const polka_policy_objective& o : Objectives()) {
    PolicyBatch b = RandomBatch(6, 24, 60);
    b.objective = o;
    const PolicyResult whole = Compute(b);
    std::vector<float> gradients, entropies;
    double loss = 0, tokens = 0;
    for (int64_t s = 0; s < 24; s += 8) {
      const PolicyResult part = Compute(Sequences(b, s, s + 8));
      gradients.insert(gradients.end(), part.d_log_prob.begin(), part.d_log_prob.end());
      entropies.insert(entropies.end(), part.d_entropy.begin(), part.d_entropy.end());
      loss += part.metrics.loss;
      tokens += part.metrics.tokens;
    }
    EXPECT_TRUE(SameBits(gradients, whole.d_log_prob));
    EXPECT_TRUE(SameBits(entropies, whole.d_entropy));
    EXPECT_NEAR(loss, whole.metrics.loss, 1e-14);
    EXPECT_EQ(tokens, whole.metrics.tokens);
  }
}

TEST(PolicyLossRulesTest, ThreadsChangeNoBit) {
  for (const polka_policy_objective& o : Objectives()) {
    PolicyBatch b = RandomBatch(7, 300, 50);
    b.objective = o;
    const PolicyResult one = Compute(b, 1);
    for (int32_t threads : {2, 3, 8}) ExpectSameBits(Compute(b, threads), one);
  }
}

TEST(PolicyLossRulesTest, ARowAloneHasTheBitsOfTheWholeBatch) {
  PolicyBatch b = RandomBatch(8, 60);
  b.objective = Objectives()[0];
  b.gradient_scale = 8;
  const PolicyResult whole = Compute(b);
  PolicyResult unused;
  const polka_policy_loss_args args = PolicyArguments(b, unused);
  const TokenObjective objective = {&args, nullptr, nullptr, false, 0};
  for (int64_t i = 0; i < b.Rows(); ++i) {
    const TokenGradient row = RowGradient(objective, i, b.log_prob[i], b.entropy[i]);
    EXPECT_EQ(row.counted, b.mask[i] != 0);
    EXPECT_EQ(row.d_log_prob, whole.d_log_prob[i]);
    EXPECT_EQ(row.d_entropy, whole.d_entropy[i]);
  }
}

TEST(PolicyLossRulesTest, EmptyAndMaskedBatchesGiveZero) {
  for (const polka_policy_objective& o : Objectives()) {
    PolicyBatch masked = RandomBatch(9);
    masked.objective = o;
    masked.mask.assign(masked.mask.size(), 0);
    masked.loss_tokens.assign(masked.loss_tokens.size(), 0);
    PolicyBatch sequences_without_rows, nothing;
    sequences_without_rows.objective = nothing.objective = o;
    sequences_without_rows.offsets = {0, 0, 0};
    for (const PolicyBatch& b : {masked, sequences_without_rows, nothing}) {
      const PolicyResult result = Compute(b);
      EXPECT_EQ(result.metrics.loss, 0);
      EXPECT_EQ(result.metrics.tokens, 0);
      EXPECT_EQ(result.metrics.sequences, 0);
      EXPECT_EQ(result.metrics.ratio_min, INFINITY);
      EXPECT_EQ(result.metrics.ratio_max, -INFINITY);
      EXPECT_EQ(result.d_log_prob, std::vector<float>(b.log_prob.size(), 0.0f));
      EXPECT_EQ(result.d_entropy, std::vector<float>(b.log_prob.size(), 0.0f));
    }
  }
}

TEST(PolicyLossRulesTest, AZeroNormaliserGivesLossZeroAndNoGradient) {
  for (const polka_policy_objective& o : Objectives()) {
    PolicyBatch b = RandomBatch(10);
    b.objective = o;
    b.divisor = b.entropy_divisor = b.nll_divisor = 0;
    const PolicyResult result = Compute(b);
    EXPECT_EQ(result.metrics.loss, 0);
    EXPECT_GT(result.metrics.tokens, 0);
    EXPECT_EQ(result.d_log_prob, std::vector<float>(b.log_prob.size(), 0.0f));
    EXPECT_EQ(result.d_entropy, std::vector<float>(b.log_prob.size(), 0.0f));
  }
}

TEST(PolicyLossRulesTest, GradientsAreOptional) {
  PolicyBatch b = RandomBatch(11);
  PolicyResult result;
  polka_policy_loss_args args = PolicyArguments(b, result);
  const Workspace workspace(1 << 16);
  args.exec.workspace = workspace.address();
  args.exec.workspace_bytes = 1 << 16;
  args.d_log_prob = args.d_entropy = 0;
  ASSERT_EQ(polka_policy_loss_from_log_prob(&args), POLKA_OK) << polka_last_error();
  EXPECT_EQ(result.metrics.loss, Compute(b).metrics.loss);
}

TEST(PolicyLossRulesTest, BadArgumentsAreNamed) {
  struct Case {
    void (*spoil)(polka_policy_loss_args&);
    polka_status status;
    const char* text;
  };
  const Case cases[] = {
      {[](auto& a) { a.objective.clip_low = -1; }, POLKA_INVALID_ARGUMENT, "clip_low: -1 is not >= 0"},
      {[](auto& a) {
         static const int64_t tokens[1] = {-5};
         a.normalizer.sequence_tokens = test::Address(tokens);
       },
       POLKA_INVALID_ARGUMENT, "normalizer: sequence 0 has -5 tokens"},
      {[](auto& a) { a.objective.clip_high = NAN; }, POLKA_INVALID_ARGUMENT, "clip_high: nan is not >= 0"},
      {[](auto& a) { a.objective.dual_clip = 1; }, POLKA_INVALID_ARGUMENT,
       "dual_clip: 1 is neither 0 (off) nor finite and > 1"},
      {[](auto& a) { a.objective.ratio_max = 1.25f; }, POLKA_INVALID_ARGUMENT,
       "ratio_max: 1.25 is neither 0 (off) nor finite and > 1 + clip_high = 1.28"},
      {[](auto& a) { a.objective.max_log_ratio = 0; }, POLKA_INVALID_ARGUMENT, "max_log_ratio: 0 is not > 0"},
      {[](auto& a) { a.objective.sequence_max_log_ratio = -2; }, POLKA_INVALID_ARGUMENT,
       "sequence_max_log_ratio: -2 is not > 0"},
      {[](auto& a) { a.objective.k3_max = NAN; }, POLKA_INVALID_ARGUMENT, "k3_max: nan is not > 0"},
      {[](auto& a) { a.objective.ratio_level = 2; }, POLKA_INVALID_ARGUMENT, "ratio_level: 2 is outside [0, 1]"},
      {[](auto& a) { a.objective.sequence_gradient = -1; }, POLKA_INVALID_ARGUMENT,
       "sequence_gradient: -1 is outside [0, 1]"},
      {[](auto& a) { a.objective.kl_estimator = 5; }, POLKA_INVALID_ARGUMENT, "kl_estimator: 5 is outside [0, 4]"},
      {[](auto& a) { a.objective.kl_gradient_mode = 4; }, POLKA_INVALID_ARGUMENT,
       "kl_gradient_mode: 4 is outside [0, 3]"},
      {[](auto& a) { a.objective.skip_non_finite = 2; }, POLKA_INVALID_ARGUMENT,
       "skip_non_finite: 2 is outside [0, 1]"},
      {[](auto& a) { a.objective.kl_coefficient = 1; }, POLKA_INVALID_ARGUMENT, "kl_coefficient: 1 needs kl_estimator"},
      {[](auto& a) { a.objective.kl_coefficient = INFINITY; }, POLKA_INVALID_ARGUMENT,
       "kl_coefficient: inf is not finite"},
      {[](auto& a) { a.objective.entropy_coefficient = NAN; }, POLKA_INVALID_ARGUMENT,
       "entropy_coefficient: nan is not finite"},
      {[](auto& a) { a.objective.entropy_coefficient = 1, a.entropy = 0; }, POLKA_INVALID_ARGUMENT,
       "entropy: address is 0"},
      {[](auto& a) { a.objective.kl_estimator = POLKA_KL_K1, a.batch.ref_log_prob = 0; }, POLKA_INVALID_ARGUMENT,
       "ref_log_prob: address is 0"},
      {[](auto& a) { a.batch.advantages = 0; }, POLKA_INVALID_ARGUMENT, "advantages: address is 0"},
      {[](auto& a) { a.log_prob = 0; }, POLKA_INVALID_ARGUMENT, "log_prob: address is 0"},
      {[](auto& a) { a.targets.data = a.log_prob, a.targets.dtype = POLKA_F32; }, POLKA_INVALID_ARGUMENT,
       "targets: dtype f32 (0) is not int64 or int32"},
      {[](auto& a) { a.d_log_prob += 1; }, POLKA_INVALID_ARGUMENT,
       "d_log_prob: address is not aligned to its 4-byte elements"},
      {[](auto& a) { a.metrics = 0; }, POLKA_INVALID_ARGUMENT, "metrics: address is 0"},
      {[](auto& a) { a.normalizer.divisor = -1; }, POLKA_INVALID_ARGUMENT,
       "normalizer: divisor -1 is not finite and >= 0"},
      {[](auto& a) { a.entropy_normalizer.divisor = NAN; }, POLKA_INVALID_ARGUMENT,
       "entropy_normalizer: divisor nan is not finite and >= 0"},
      {[](auto& a) { a.gradient_scale = INFINITY; }, POLKA_INVALID_ARGUMENT, "gradient_scale: inf is not finite"},
      {[](auto& a) { a.logits.rows = -1; }, POLKA_INVALID_ARGUMENT, "rows: -1 is outside [0, 2^48]"},
      {[](auto& a) { a.batch.sequences = -1; }, POLKA_INVALID_ARGUMENT, "sequences: -1 is outside [0, 2^48]"},
      {[](auto& a) { a.batch.offsets = 0; }, POLKA_INVALID_ARGUMENT, "offsets: address is 0"},
      {[](auto& a) { a.logits.rows = 2; }, POLKA_INVALID_ARGUMENT, "offsets: ends at 1, must end at 2"},
      {[](auto& a) { a.exec.workspace_bytes = 8; }, POLKA_WORKSPACE, "workspace: 8 bytes given, 232 needed"},
  };
  for (const Case& c : cases) {
    PolicyBatch b = OneToken(-1, -1, 1);
    b.entropy = {1};
    PolicyResult result;
    polka_policy_loss_args args = PolicyArguments(b, result);
    const Workspace workspace(1024);
    args.exec.workspace = workspace.address();
    args.exec.workspace_bytes = 1024;
    c.spoil(args);
    EXPECT_EQ(polka_policy_loss_from_log_prob(&args), c.status);
    EXPECT_STREQ(polka_last_error(), c.text);
    EXPECT_EQ(result.d_log_prob[0], -7);
  }
}

}  // namespace
}  // namespace polka
