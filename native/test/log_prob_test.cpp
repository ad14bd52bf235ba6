// log_prob with values: forward and backward against a plain f64 reference, on every instruction set,
// with rows whole and cut into tiles, so that the sanitizers see the traversals too.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

struct Case {
  int64_t rows, cols;
  float temperature = 1, softcap = 0;
  int64_t valid_vocab = 0;
  bool keep_mask = false;
  int32_t threads = 1;
};

struct LogProbTest : testing::Test {
  std::vector<float> logits, log_prob, max, log_sum, entropy, d_log_prob, d_entropy, gradient;
  std::vector<int64_t> targets;
  std::vector<uint8_t> keep, workspace;
  Case c;

  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }

  int64_t Valid() const { return c.valid_vocab == 0 ? c.cols : c.valid_vocab; }

  void Make(const Case& made) {
    c = made;
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 3);
    const size_t rows = static_cast<size_t>(c.rows), cells = rows * static_cast<size_t>(c.cols);
    logits.resize(cells);
    for (float& z : logits) z = normal(random);
    // What lies beyond the vocabulary must not be read.
    for (int64_t r = 0; r < c.rows; ++r) {
      for (int64_t j = Valid(); j < c.cols; ++j) At(logits, r, j) = NAN;
    }
    targets.resize(rows);
    for (int64_t& t : targets) t = static_cast<int64_t>(random() % static_cast<uint64_t>(Valid()));
    keep.assign(rows * static_cast<size_t>(KeepStride()), 0);
    for (uint8_t& bits : keep) bits = static_cast<uint8_t>(random());
    for (auto* v : {&log_prob, &max, &log_sum, &entropy}) v->assign(rows, 99);
    d_log_prob.resize(rows);
    d_entropy.resize(rows);
    for (size_t r = 0; r < rows; ++r) d_log_prob[r] = normal(random), d_entropy[r] = normal(random);
    gradient.assign(cells, 99);
  }

  int64_t KeepStride() const { return (c.cols + 7) / 8; }
  float& At(std::vector<float>& v, int64_t r, int64_t j) const { return v[static_cast<size_t>(r * c.cols + j)]; }

  polka_softmax Softmax() const {
    return {0, c.keep_mask ? Address(keep.data()) : 0, KeepStride(), c.valid_vocab, c.temperature, c.softcap};
  }

  // Runs forward; true where the rows were cut into tiles.
  bool Forward() {
    polka_log_prob_forward_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = c.threads;
    a.logits = MatrixOf(logits.data(), c.rows, c.cols);
    a.targets = TargetsOf(targets.data());
    a.softmax = Softmax();
    a.log_prob = Address(log_prob.data());
    a.max = Address(max.data());
    a.log_sum = Address(log_sum.data());
    a.entropy = Address(entropy.data());
    EXPECT_EQ(polka_log_prob_forward_workspace(&a), POLKA_OK) << polka_last_error();
    workspace.resize(static_cast<size_t>(a.exec.workspace_needed) + 64);
    a.exec.workspace = (Address(workspace.data()) + 63) / 64 * 64;
    a.exec.workspace_bytes = a.exec.workspace_needed;
    EXPECT_EQ(polka_log_prob_forward(&a), POLKA_OK) << polka_last_error();
    return a.exec.workspace_needed > 0;
  }

  void Backward(bool entropy_too, std::vector<float>& out) {
    polka_log_prob_backward_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = c.threads;
    a.logits = MatrixOf(logits.data(), c.rows, c.cols);
    a.targets = TargetsOf(targets.data());
    a.softmax = Softmax();
    a.max = Address(max.data());
    a.log_sum = Address(log_sum.data());
    a.entropy = Address(entropy.data());
    a.d_log_prob = Address(d_log_prob.data());
    if (entropy_too) a.d_entropy = Address(d_entropy.data());
    a.d_logits = MatrixOf(out.data(), c.rows, c.cols);
    ASSERT_EQ(polka_log_prob_backward(&a), POLKA_OK) << polka_last_error();
  }

  // Everything against f64.
  void Check() {
    for (int64_t r = 0; r < c.rows; ++r) {
      const size_t row = static_cast<size_t>(r);
      std::vector<double> x(static_cast<size_t>(Valid()));
      double largest = -INFINITY, sum = 0, h = 0;
      for (int64_t j = 0; j < Valid(); ++j) {
        double z = At(logits, r, j);
        if (c.softcap != 0) z = c.softcap * tanh(z / c.softcap);
        const bool kept = !c.keep_mask || j == targets[row] ||
                          (keep[static_cast<size_t>(r * KeepStride() + j / 8)] >> (j % 8) & 1) != 0;
        x[static_cast<size_t>(j)] = kept ? z / c.temperature : -INFINITY;
        largest = fmax(largest, x[static_cast<size_t>(j)]);
      }
      for (const double xj : x) sum += exp(xj - largest);
      const double lse = largest + log(sum);
      for (const double xj : x) h -= xj == -INFINITY ? 0 : exp(xj - lse) * (xj - lse);
      const double lp = x[static_cast<size_t>(targets[row])] - lse;
      // 4 eps of the quantity, and of the softcapped logit itself, which is rounded.
      const double eps = 4 * 1.1920929e-7;
      EXPECT_NEAR(log_prob[row], lp, eps * fmax(fmax(1, fabs(lp)), c.softcap)) << "row " << r;
      EXPECT_NEAR(entropy[row], h, eps * fmax(1, log(static_cast<double>(c.cols)))) << "row " << r;
      const double scale = fabs(d_log_prob[row]) + fabs(d_entropy[row]) * fmax(1, h);
      for (int64_t j = 0; j < c.cols; ++j) {
        double d = 0;
        if (j < Valid() && x[static_cast<size_t>(j)] != -INFINITY) {
          const double lpj = x[static_cast<size_t>(j)] - lse, p = exp(lpj);
          d = d_log_prob[row] * ((j == targets[row]) - p) - d_entropy[row] * p * (lpj + h);
          d /= c.temperature;
          if (c.softcap != 0) d *= 1 - pow(tanh(At(logits, r, j) / c.softcap), 2);
        }
        ASSERT_NEAR(At(gradient, r, j), d, eps * scale / c.temperature) << "row " << r << " column " << j;
      }
    }
  }
};

TEST_F(LogProbTest, ValuesAndGradientsAreTheReferencesOnEveryTarget) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (const Case& made : {Case{3, 1}, Case{3, 17}, Case{2, 4097}, Case{2, 9001, 0.7f}, Case{2, 5003, 1, 20},
                             Case{2, 4500, 2, 0, 4321}, Case{2, 5000, 1, 0, 0, true}}) {
      SCOPED_TRACE(testing::Message() << polka_target_name(target) << " " << made.cols);
      Make(made);
      EXPECT_FALSE(Forward());
      Backward(true, gradient);
      Check();
    }
  }
}

TEST_F(LogProbTest, TilesSharedOutAmongThreadsGiveTheSameBits) {
  Make({1, 1'600'000});
  EXPECT_FALSE(Forward());
  const std::vector<float> whole = {log_prob[0], max[0], log_sum[0], entropy[0]};
  Backward(true, gradient);
  const std::vector<float> expected = gradient;
  c.threads = 3;
  EXPECT_TRUE(Forward()) << "the row must be cut into tiles here";
  EXPECT_EQ(whole, (std::vector<float>{log_prob[0], max[0], log_sum[0], entropy[0]}));
  gradient.assign(gradient.size(), 99);
  Backward(true, gradient);
  EXPECT_EQ(gradient, expected);
  Check();
}

TEST_F(LogProbTest, InPlaceGivesTheSameBits) {
  for (const int32_t threads : {1, 3}) {
    Make({2, 800'000});
    c.threads = threads;
    Forward();
    Backward(true, gradient);
    Backward(true, logits);
    EXPECT_EQ(logits, gradient) << threads << " threads";
  }
}

// The target's logit is overwritten with its gradient, 0, before later tiles are written.
TEST_F(LogProbTest, ATargetAtMinusInfinityHasNoGradientInPlaceEither) {
  for (const int32_t threads : {1, 3}) {
    Make({2, 800'000});
    c.threads = threads;
    targets = {5, 799'999};
    At(logits, 0, targets[0]) = At(logits, 1, targets[1]) = -INFINITY;
    Forward();
    EXPECT_EQ(log_prob[0], -INFINITY);
    Backward(false, logits);
    EXPECT_EQ(logits, std::vector<float>(logits.size(), 0.0f)) << threads << " threads";
  }
}

TEST(LogProb, PlusInfinityMakesItsRowNanOnEveryTarget) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (const int64_t aim : {0, 1}) {
      const std::vector<float> logits = {1, INFINITY, 2, 3};
      const std::vector<int64_t> targets = {aim};
      std::vector<float> out(1), max(1), log_sum(1), lse(1);
      polka_log_prob_forward_args f = {};
      f.struct_size = sizeof f;
      f.exec.threads = 1;
      f.logits = MatrixOf(logits.data(), 1, 4);
      f.targets = TargetsOf(targets.data());
      f.softmax.temperature = 1;
      f.log_prob = Address(out.data());
      f.max = Address(max.data());
      f.log_sum = Address(log_sum.data());
      f.lse = Address(lse.data());
      ASSERT_EQ(polka_log_prob_forward(&f), POLKA_OK) << polka_last_error();
      EXPECT_TRUE(isnan(out[0])) << target << " " << aim;
      EXPECT_TRUE(isnan(lse[0])) << target << " " << aim;
    }
  }
  polka_force_target(POLKA_TARGET_NONE);
}

// Where max / T is so large that rounding the product alone would be worth powers of two.
TEST(LogProb, FiniteLogitsOfAnySizeGiveFiniteLogProbs) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (const float largest : {1e8f, 3e9f, 1e10f, 1e30f, 3e38f}) {
      for (const float temperature : {1.0f, 1e-9f}) {
        const std::vector<float> logits = {largest, -largest, 2, largest};
        const std::vector<int64_t> targets = {0};
        std::vector<float> out(1), max(1), log_sum(1), entropy(1), upstream(1, 1), gradient(4);
        polka_log_prob_forward_args f = {};
        f.struct_size = sizeof f;
        f.exec.threads = 1;
        f.logits = MatrixOf(logits.data(), 1, 4);
        f.targets = TargetsOf(targets.data());
        f.softmax.temperature = temperature;
        f.log_prob = Address(out.data());
        f.max = Address(max.data());
        f.log_sum = Address(log_sum.data());
        f.entropy = Address(entropy.data());
        ASSERT_EQ(polka_log_prob_forward(&f), POLKA_OK) << polka_last_error();
        EXPECT_NEAR(out[0], -log(2.0), 1e-6) << target << " " << static_cast<double>(largest);
        EXPECT_NEAR(entropy[0], log(2.0), 1e-6) << target << " " << static_cast<double>(largest);
      }
    }
  }
  polka_force_target(POLKA_TARGET_NONE);
}

}  // namespace
}  // namespace polka::test
