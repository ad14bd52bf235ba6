// A vocabulary split over 2, 3 and 8 uneven shards gives what the whole one gives: log-prob, entropy,
// lse, every divergence, and each shard's gradient.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <string>
#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

constexpr double kEps = 1.1920929e-7;

struct VocabParallelTest : testing::Test {
  static constexpr int64_t kRows = 4, kCols = 9001;
  std::vector<float> student, teacher, upstream, d_entropy;
  std::vector<int64_t> targets = {0, 4096, 9000, 77};
  std::vector<uint8_t> mask = {1, 1, 1, 0};
  float temperature = 0.7f;

  void SetUp() override {
    std::mt19937 random(3);
    std::normal_distribution<float> normal(0, 1);
    for (auto* v : {&student, &teacher}) {
      v->resize(kRows * kCols);
      for (float& z : *v) z = normal(random);
    }
    upstream = {1, -0.5f, 2, 3};
    d_entropy = {0.5f, 1, -1, 3};
    // A leading shard without a finite column.
    for (size_t j = 0; j < 40; ++j) student[kCols + j] = teacher[kCols + j] = -INFINITY;
  }

  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }

  // First columns of the shards, and the end of the last.
  static std::vector<int64_t> Cuts(int shards) {
    if (shards == 2) return {0, 33, kCols};
    if (shards == 3) return {0, 5001, 5002, kCols};
    return {0, 1, 40, 777, 4096, 4097, 8192, 9000, kCols};
  }

  polka_softmax Softmax() const { return {0, 0, 0, 0, temperature, 0}; }

  // Columns [from, to) of all rows.
  static polka_matrix Columns(const std::vector<float>& m, int64_t from, int64_t to) {
    polka_matrix view = MatrixOf(m.data() + from, kRows, to - from);
    view.row_stride = kCols;
    return view;
  }

  struct Merged {
    std::vector<float> log_prob, max, log_sum, lse, entropy;
    Merged() {
      for (auto* v : {&log_prob, &max, &log_sum, &lse, &entropy}) v->assign(kRows, 99);
    }
  };

  polka_vocab_log_prob_args LogProbArguments(const std::vector<float>& m, bool with_targets, int64_t from, int64_t to) {
    polka_vocab_log_prob_args a = {};
    a.struct_size = sizeof a;
    a.logits = Columns(m, from, to);
    if (with_targets) a.targets = TargetsOf(targets.data(), mask.data());
    a.softmax = Softmax();
    a.first_column = from;
    a.vocabulary = kCols;
    return a;
  }

  std::vector<float> Statistics(const std::vector<float>& m, bool with_targets, const std::vector<int64_t>& cuts) {
    const size_t words = kRows * POLKA_SHARD_STATISTICS;
    std::vector<float> all((cuts.size() - 1) * words);
    for (size_t s = 0; s + 1 < cuts.size(); ++s) {
      polka_vocab_log_prob_args a = LogProbArguments(m, with_targets, cuts[s], cuts[s + 1]);
      a.statistics = Address(all.data() + s * words);
      EXPECT_EQ(polka_vocab_log_prob_statistics(&a), POLKA_OK) << polka_last_error();
    }
    return all;
  }

  Merged Merge(const std::vector<float>& m, bool with_targets, const std::vector<int64_t>& cuts) {
    const std::vector<float> all = Statistics(m, with_targets, cuts);
    Merged out;
    polka_vocab_log_prob_args a = LogProbArguments(m, with_targets, cuts[0], cuts[1]);
    a.shards = static_cast<int64_t>(cuts.size()) - 1;
    a.statistics = Address(all.data());
    a.log_prob = Address(out.log_prob.data());
    a.max = Address(out.max.data());
    a.log_sum = Address(out.log_sum.data());
    a.lse = Address(out.lse.data());
    a.entropy = Address(out.entropy.data());
    EXPECT_EQ(polka_vocab_log_prob_merge(&a), POLKA_OK) << polka_last_error();
    return out;
  }

  Merged Whole(std::vector<float>& gradient) {
    Merged out;
    polka_log_prob_forward_args f = {};
    f.struct_size = sizeof f;
    f.exec.threads = 1;
    f.logits = Columns(student, 0, kCols);
    f.targets = TargetsOf(targets.data(), mask.data());
    f.softmax = Softmax();
    f.log_prob = Address(out.log_prob.data());
    f.max = Address(out.max.data());
    f.log_sum = Address(out.log_sum.data());
    f.lse = Address(out.lse.data());
    f.entropy = Address(out.entropy.data());
    EXPECT_EQ(polka_log_prob_forward(&f), POLKA_OK) << polka_last_error();
    polka_log_prob_backward_args b = {};
    b.struct_size = sizeof b;
    b.logits = f.logits;
    b.targets = f.targets;
    b.softmax = f.softmax;
    b.max = f.max;
    b.log_sum = f.log_sum;
    b.entropy = f.entropy;
    b.d_log_prob = Address(upstream.data());
    b.d_entropy = Address(d_entropy.data());
    b.d_logits = Columns(gradient, 0, kCols);
    EXPECT_EQ(polka_log_prob_backward(&b), POLKA_OK) << polka_last_error();
    return out;
  }

  void ExpectNear(const std::vector<float>& actual, const std::vector<float>& expected, double scale) {
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(actual[i], expected[i], 4 * kEps * scale) << i;
  }

  polka_vocab_divergence_args DivergenceArguments(int32_t kind, const Merged& p, const Merged& q, int64_t from,
                                                  int64_t to) {
    polka_vocab_divergence_args a = {};
    a.struct_size = sizeof a;
    a.student = Columns(student, from, to);
    a.teacher = Columns(teacher, from, to);
    a.student_softmax = a.teacher_softmax = Softmax();
    a.mask = Address(mask.data());
    a.row_weight = Address(upstream.data());
    a.student_max = Address(p.max.data());
    a.student_log_sum = Address(p.log_sum.data());
    a.teacher_max = Address(q.max.data());
    a.teacher_log_sum = Address(q.log_sum.data());
    a.divisor = 3;
    a.beta = 0.3f;
    a.alpha = 0.4f;
    a.kind = kind;
    return a;
  }
};

TEST_F(VocabParallelTest, LogProbsAndEntropiesOfShardsAreThoseOfTheWhole) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    std::vector<float> whole_gradient(kRows * kCols, 99);
    const Merged whole = Whole(whole_gradient);
    for (const int shards : {2, 3, 8}) {
      SCOPED_TRACE(testing::Message() << polka_target_name(target) << " " << shards << " shards");
      const std::vector<int64_t> cuts = Cuts(shards);
      Merged merged = Merge(student, true, cuts);
      ExpectNear(merged.log_prob, whole.log_prob, 20);
      ExpectNear(merged.log_sum, whole.log_sum, 10);
      ExpectNear(merged.lse, whole.lse, 15);
      ExpectNear(merged.entropy, whole.entropy, 10);
      EXPECT_EQ(merged.max, whole.max);
      EXPECT_EQ(merged.log_prob[3], 0);
      std::vector<float> gradient(kRows * kCols, 99);
      for (size_t s = 0; s + 1 < cuts.size(); ++s) {
        polka_vocab_log_prob_args a = LogProbArguments(student, true, cuts[s], cuts[s + 1]);
        a.log_prob = Address(merged.log_prob.data());
        a.max = Address(merged.max.data());
        a.log_sum = Address(merged.log_sum.data());
        a.entropy = Address(merged.entropy.data());
        a.d_log_prob = Address(upstream.data());
        a.d_entropy = Address(d_entropy.data());
        a.d_logits = Columns(gradient, cuts[s], cuts[s + 1]);
        ASSERT_EQ(polka_vocab_log_prob_backward(&a), POLKA_OK) << polka_last_error();
      }
      ExpectNear(gradient, whole_gradient, 3 / 0.7);
    }
  }
}

TEST_F(VocabParallelTest, EveryDivergenceOfShardsIsThatOfTheWhole) {
  std::vector<float> whole_gradient(kRows * kCols), gradient(kRows * kCols);
  for (int32_t kind = POLKA_FORWARD_KL; kind <= POLKA_GENERALIZED_KL; ++kind) {
    std::vector<float> whole_value(kRows, 99), value(kRows, 99);
    double whole_loss = 99, loss = 99;
    polka_divergence_args d = {};
    d.struct_size = sizeof d;
    d.exec.threads = 1;
    d.student = Columns(student, 0, kCols);
    d.teacher = Columns(teacher, 0, kCols);
    d.student_softmax = d.teacher_softmax = Softmax();
    d.mask = Address(mask.data());
    d.row_weight = Address(upstream.data());
    d.value = Address(whole_value.data());
    d.loss = Address(&whole_loss);
    d.d_student = Columns(whole_gradient, 0, kCols);
    d.divisor = 3;
    d.beta = 0.3f;
    d.alpha = 0.4f;
    d.kind = kind;
    ASSERT_EQ(polka_divergence(&d), POLKA_OK) << polka_last_error();
    for (const int shards : {2, 3, 8}) {
      SCOPED_TRACE(testing::Message() << "kind " << kind << " " << shards << " shards");
      const std::vector<int64_t> cuts = Cuts(shards);
      const Merged p = Merge(student, false, cuts), q = Merge(teacher, false, cuts);
      const size_t words = kRows * POLKA_SHARD_TOTALS;
      std::vector<double> totals((cuts.size() - 1) * words), merged(words);
      for (size_t s = 0; s + 1 < cuts.size(); ++s) {
        polka_vocab_divergence_args a = DivergenceArguments(kind, p, q, cuts[s], cuts[s + 1]);
        a.totals = Address(totals.data() + s * words);
        ASSERT_EQ(polka_vocab_divergence_totals(&a), POLKA_OK) << polka_last_error();
      }
      polka_vocab_divergence_args m = DivergenceArguments(kind, p, q, cuts[0], cuts[1]);
      m.shards = shards;
      m.totals = Address(totals.data());
      m.merged = Address(merged.data());
      m.value = Address(value.data());
      m.loss = Address(&loss);
      ASSERT_EQ(polka_vocab_divergence_merge(&m), POLKA_OK) << polka_last_error();
      const double largest = fmax(fmax(whole_value[0], whole_value[1]), whole_value[2]);
      ExpectNear(value, whole_value, fmax(10, largest));
      EXPECT_NEAR(loss, whole_loss, 4 * kEps * fmax(10, largest));
      EXPECT_EQ(value[3], 0);
      gradient.assign(gradient.size(), 99);
      for (size_t s = 0; s + 1 < cuts.size(); ++s) {
        polka_vocab_divergence_args a = DivergenceArguments(kind, p, q, cuts[s], cuts[s + 1]);
        a.merged = Address(merged.data());
        a.d_student = Columns(gradient, cuts[s], cuts[s + 1]);
        ASSERT_EQ(polka_vocab_divergence_backward(&a), POLKA_OK) << polka_last_error();
      }
      ExpectNear(gradient, whole_gradient, fmax(1, largest));
    }
  }
}

TEST_F(VocabParallelTest, EqualSidesStayExactlyEqual) {
  teacher = student;
  const std::vector<int64_t> cuts = Cuts(3);
  const Merged p = Merge(student, false, cuts);
  std::vector<double> totals(kRows * POLKA_SHARD_TOTALS);
  for (int32_t kind = POLKA_FORWARD_KL; kind <= POLKA_GENERALIZED_KL; ++kind) {
    polka_vocab_divergence_args a = DivergenceArguments(kind, p, p, 0, kCols);
    a.totals = Address(totals.data());
    ASSERT_EQ(polka_vocab_divergence_totals(&a), POLKA_OK) << polka_last_error();
    EXPECT_EQ(totals[0], 0) << "kind " << kind;
  }
}

TEST_F(VocabParallelTest, ATargetAtMinusInfinityGivesNoShardAGradient) {
  const std::vector<int64_t> cuts = Cuts(2);
  student[0] = -INFINITY;
  const Merged merged = Merge(student, true, cuts);
  EXPECT_EQ(merged.log_prob[0], -INFINITY);
  for (size_t s = 0; s < 2; ++s) {
    std::vector<float> gradient(kRows * kCols, 99);
    polka_vocab_log_prob_args a = LogProbArguments(student, true, cuts[s], cuts[s + 1]);
    a.log_prob = Address(merged.log_prob.data());
    a.max = Address(merged.max.data());
    a.log_sum = Address(merged.log_sum.data());
    a.d_log_prob = Address(upstream.data());
    a.d_logits = Columns(gradient, cuts[s], cuts[s + 1]);
    ASSERT_EQ(polka_vocab_log_prob_backward(&a), POLKA_OK) << polka_last_error();
    for (int64_t j = cuts[s]; j < cuts[s + 1]; ++j) ASSERT_EQ(gradient[static_cast<size_t>(j)], 0) << j;
  }
}

TEST_F(VocabParallelTest, ShardsThatDoNotMakeAVocabularyAreRefused) {
  polka_vocab_log_prob_args a = LogProbArguments(student, true, 9000, kCols);
  a.first_column = 9001;
  EXPECT_EQ(polka_vocab_log_prob_statistics(&a), POLKA_INVALID_ARGUMENT);
  EXPECT_NE(std::string(polka_last_error()).find("first_column: 9001"), std::string::npos) << polka_last_error();
  // The shard with the last row's target is missing.
  const std::vector<int64_t> cuts = {0, 5001, 5002};
  const std::vector<float> all = Statistics(student, true, cuts);
  a = LogProbArguments(student, true, 0, 5001);
  a.shards = 2;
  a.statistics = Address(all.data());
  EXPECT_EQ(polka_vocab_log_prob_merge(&a), POLKA_OUT_OF_RANGE);
  EXPECT_NE(std::string(polka_last_error()).find("row 2 has its target in 0 of 2 shards"), std::string::npos)
      << polka_last_error();
  a.shards = 0;
  EXPECT_EQ(polka_vocab_log_prob_merge(&a), POLKA_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace polka::test
