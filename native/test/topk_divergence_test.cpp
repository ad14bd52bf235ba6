// topk_divergence with values on every instruction set, so that the sanitizers see the traversal too:
// masses, entropy, overlap, and the forward KL of every tail with its gradient, against plain f64.
#include <gtest/gtest.h>
#include <math.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

struct TopkDivergenceTest : testing::Test {
  int64_t rows = 0, cols = 0, entries = 0;
  std::vector<float> student, log_q, value, entropy, student_mass, teacher_mass, overlap, gradient;
  std::vector<int64_t> ids;

  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }

  void Make(int64_t r, int64_t v, int64_t k) {
    rows = r, cols = v, entries = k;
    std::mt19937 random(5);
    std::normal_distribution<float> normal(0, 2);
    student.resize(static_cast<size_t>(rows * cols));
    for (float& z : student) z = normal(random);
    gradient.assign(student.size(), 99);
    log_q.clear();
    ids.clear();
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<int64_t> columns(static_cast<size_t>(cols));
      for (size_t j = 0; j < columns.size(); ++j) columns[j] = static_cast<int64_t>(j);
      std::shuffle(columns.begin(), columns.end(), random);
      for (int64_t i = 0; i < entries; ++i) {
        ids.push_back(columns[static_cast<size_t>(i)]);
        log_q.push_back(-logf(static_cast<float>(entries)) - 0.1f - fabsf(normal(random)));
      }
    }
    for (auto* v32 : {&value, &entropy, &student_mass, &teacher_mass, &overlap}) {
      v32->assign(static_cast<size_t>(rows), 99);
    }
  }

  polka_topk_divergence_args Arguments(int32_t tail, std::vector<float>& out) {
    polka_topk_divergence_args a = {};
    a.struct_size = sizeof a;
    a.student = MatrixOf(student.data(), rows, cols);
    a.softmax = PlainSoftmax();
    a.entries = entries;
    a.teacher_ids = Address(ids.data());
    a.teacher_log_prob = Address(log_q.data());
    a.value = Address(value.data());
    a.student_entropy = Address(entropy.data());
    a.student_mass = Address(student_mass.data());
    a.teacher_mass = Address(teacher_mass.data());
    a.overlap = Address(overlap.data());
    a.d_student = MatrixOf(out.data(), rows, cols);
    a.divisor = 1;
    a.kind = POLKA_FORWARD_KL;
    a.tail = tail;
    a.ids_dtype = POLKA_I64;
    return a;
  }

  void Check(int32_t tail) {
    for (int64_t r = 0; r < rows; ++r) {
      const size_t row = static_cast<size_t>(r);
      const float* z = student.data() + r * cols;
      double sum = 0, h = 0, p_mass = 0, q_mass = 0;
      for (int64_t j = 0; j < cols; ++j) sum += exp(z[j]);
      for (int64_t j = 0; j < cols; ++j) h -= exp(z[j]) / sum * (z[j] - log(sum));
      int64_t among = 0;
      for (int64_t k = r * entries; k < (r + 1) * entries; ++k) {
        const float y = z[ids[static_cast<size_t>(k)]];
        p_mass += exp(y) / sum;
        q_mass += exp(log_q[static_cast<size_t>(k)]);
        among += std::count_if(z, z + cols, [y](float other) { return other > y; }) < entries;
      }
      const double p_tail = 1 - p_mass, q_tail = 1 - q_mass;
      const bool renormalized = tail == POLKA_TAIL_RENORMALIZED, bucket = tail == POLKA_TAIL_BUCKET;
      double expected = bucket ? q_tail * log(q_tail / p_tail) : 0;
      std::vector<double> d(static_cast<size_t>(cols));
      for (int64_t j = 0; j < cols; ++j) {
        const double p = exp(z[j]) / sum;
        d[static_cast<size_t>(j)] = renormalized ? 0 : bucket ? p * (1 - q_tail / p_tail) : q_mass * p;
      }
      for (int64_t k = r * entries; k < (r + 1) * entries; ++k) {
        const size_t id = static_cast<size_t>(ids[static_cast<size_t>(k)]);
        double p = exp(z[id]) / sum, q = exp(log_q[static_cast<size_t>(k)]);
        if (renormalized) p /= p_mass, q /= q_mass;
        expected += q * log(q / p);
        d[id] = (tail == POLKA_TAIL_NONE ? q_mass : 1) * p - q;
      }
      const double eps = 4 * 1.1920929e-7 * fmax(log(static_cast<double>(cols)), fabs(expected));
      EXPECT_NEAR(value[row], expected, eps) << "row " << r;
      EXPECT_NEAR(entropy[row], h, eps);
      EXPECT_NEAR(student_mass[row], p_mass, eps);
      EXPECT_NEAR(teacher_mass[row], q_mass, eps);
      EXPECT_EQ(overlap[row], static_cast<float>(among) / static_cast<float>(entries));
      for (int64_t j = 0; j < cols; ++j) {
        ASSERT_NEAR(gradient[static_cast<size_t>(r * cols + j)], d[static_cast<size_t>(j)], 5e-7) << "column " << j;
      }
    }
  }
};

TEST_F(TopkDivergenceTest, EveryTailIsTheReferencesOnEveryTarget) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (const int32_t tail : {POLKA_TAIL_NONE, POLKA_TAIL_BUCKET, POLKA_TAIL_RENORMALIZED}) {
      for (const int64_t vocabulary : {17, 4099, 9001}) {
        SCOPED_TRACE(testing::Message() << polka_target_name(target) << " tail " << tail << " " << vocabulary);
        Make(3, vocabulary, vocabulary == 17 ? 5 : 512);
        polka_topk_divergence_args a = Arguments(tail, gradient);
        ASSERT_EQ(polka_topk_divergence(&a), POLKA_OK) << polka_last_error();
        Check(tail);
        a = Arguments(tail, student);
        ASSERT_EQ(polka_topk_divergence(&a), POLKA_OK) << polka_last_error();
        EXPECT_EQ(student, gradient);
      }
    }
  }
}

TEST_F(TopkDivergenceTest, BadRowsAreNamedBeforeAnythingIsWritten) {
  Make(2, 9, 3);
  const auto refused = [&](polka_status status, auto spoil, const char* text) {
    polka_topk_divergence_args a = Arguments(POLKA_TAIL_NONE, gradient);
    spoil(a);
    EXPECT_EQ(polka_topk_divergence(&a), status) << text;
    EXPECT_NE(std::string(polka_last_error()).find(text), std::string::npos) << polka_last_error();
    EXPECT_EQ(value[0], 99);
  };
  refused(
      POLKA_INVALID_ARGUMENT, [](auto& a) { a.entries = 0; }, "entries: 0 is not between 1 and 512");
  refused(
      POLKA_INVALID_ARGUMENT, [](auto& a) { a.entries = 513; }, "entries: 513");
  refused(
      POLKA_INVALID_ARGUMENT, [](auto& a) { a.ids_dtype = POLKA_F32; }, "ids_dtype: 0");
  refused(
      POLKA_INVALID_ARGUMENT, [](auto& a) { a.tail = 3; }, "tail");
  refused(
      POLKA_INVALID_ARGUMENT, [](auto& a) { a.teacher_ids = 0; }, "teacher_ids");
  const float temperatures[] = {1, 0};
  refused(
      POLKA_INVALID_ARGUMENT, [&](auto& a) { a.softmax.row_temperature = Address(temperatures); },
      "temperature 0 of row 1");
  ids[4] = 9;
  refused(
      POLKA_OUT_OF_RANGE, [](auto&) {}, "teacher_ids: row 1 has 9, the vocabulary is [0, 9)");
  ids[4] = ids[3];
  refused(
      POLKA_OUT_OF_RANGE, [](auto&) {}, "twice");
}

}  // namespace
}  // namespace polka::test
