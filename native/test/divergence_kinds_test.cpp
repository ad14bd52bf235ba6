// Every kind of divergence, with a reference and with soft targets, against a plain f64 reference, on every
// instruction set, with rows whole and cut into tiles, so that the sanitizers see the traversals too.
#include <gtest/gtest.h>
#include <math.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

struct Case {
  int64_t rows, cols;
  int32_t kind = POLKA_FORWARD_KL;
  bool reference = false, measure = false;
  int32_t threads = 1;
};

struct DivergenceKindsTest : testing::Test {
  std::vector<float> student, teacher, reference, value, gradient;
  std::vector<uint8_t> workspace;
  Case c;
  float beta = 0.3f, alpha = 0.4f, lambda = 1.5f;

  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }

  void Make(const Case& made) {
    c = made;
    std::mt19937 random(7);
    std::normal_distribution<float> normal(0, 1);
    const size_t cells = static_cast<size_t>(c.rows * c.cols);
    for (auto* v : {&student, &teacher, &reference}) {
      v->resize(cells);
      for (float& z : *v) z = normal(random);
    }
    const float shift = c.measure ? 1 + logf(static_cast<float>(c.cols)) : 0;
    for (float& z : teacher) z -= shift;
    value.assign(static_cast<size_t>(c.rows), 99);
    gradient.assign(cells, 99);
  }

  polka_divergence_args Arguments(std::vector<float>& out) {
    polka_divergence_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = c.threads;
    a.student = MatrixOf(student.data(), c.rows, c.cols);
    a.teacher = MatrixOf(teacher.data(), c.rows, c.cols);
    a.student_softmax = a.teacher_softmax = PlainSoftmax();
    a.value = Address(value.data());
    a.d_student = MatrixOf(out.data(), c.rows, c.cols);
    a.divisor = 1;
    a.beta = beta;
    a.alpha = alpha;
    a.kind = c.kind;
    a.teacher_form = c.measure ? POLKA_LOG_WEIGHTS : POLKA_LOGITS;
    if (c.reference) a.reference = MatrixOf(reference.data(), c.rows, c.cols);
    a.lambda = lambda;
    return a;
  }

  // True where the rows were cut into tiles.
  bool Run(std::vector<float>& out) {
    polka_divergence_args a = Arguments(out);
    EXPECT_EQ(polka_divergence_workspace(&a), POLKA_OK) << polka_last_error();
    workspace.resize(static_cast<size_t>(a.exec.workspace_needed) + 64);
    a.exec.workspace = (Address(workspace.data()) + 63) / 64 * 64;
    a.exec.workspace_bytes = a.exec.workspace_needed;
    EXPECT_EQ(polka_divergence(&a), POLKA_OK) << polka_last_error();
    return a.exec.workspace_needed > 0;
  }

  std::vector<double> LogProbs(const std::vector<double>& logits) const {
    double sum = 0;
    for (const double z : logits) sum += exp(z);
    std::vector<double> lp = logits;
    for (double& z : lp) z -= log(sum);
    return lp;
  }

  // One column's part of the divergence, by the definition.
  double Term(double p, double q) const {
    const double b = beta, a = alpha, forward = b * q + (1 - b) * p, reverse = b * p + (1 - b) * q;
    switch (c.kind) {
      case POLKA_FORWARD_KL:
        return q * log(q / p);
      case POLKA_REVERSE_KL:
        return p * log(p / q);
      case POLKA_JSD:
        return b * q * log(q / forward) + (1 - b) * p * log(p / forward);
      case POLKA_SKEW_FORWARD_KL:
        return q * log(q / forward);
      case POLKA_SKEW_REVERSE_KL:
        return p * log(p / reverse);
      case POLKA_TOTAL_VARIATION:
        return fabs(p - q) / 2;
      case POLKA_CHI_SQUARED:
        return (p - q) * (p - q) / q;
      case POLKA_ALPHA:
        return (pow(q, a) * pow(p, 1 - a) - a * q - (1 - a) * p) / (a * (a - 1));
      default:
        return q * log(q / p) - q + p;
    }
  }

  // Values by the definitions; gradients by what Term does when p is moved a little.
  void Check() {
    for (int64_t r = 0; r < c.rows; ++r) {
      std::vector<double> z, t;
      for (int64_t i = r * c.cols; i < (r + 1) * c.cols; ++i) {
        const size_t at = static_cast<size_t>(i);
        z.push_back(student[at]);
        t.push_back(c.reference ? double{lambda} * teacher[at] + (1 - double{lambda}) * reference[at]
                                : double{teacher[at]});
      }
      const std::vector<double> lp = LogProbs(z), lq = c.measure ? t : LogProbs(t);
      double expected = 0, mean = 0;
      std::vector<double> slope;
      for (size_t j = 0; j < lp.size(); ++j) {
        const double p = exp(lp[j]), q = exp(lq[j]), h = 1e-5 * p;
        expected += Term(p, q);
        slope.push_back(p * (Term(p + h, q) - Term(p - h, q)) / (2 * h));
        mean += slope.back();
      }
      const double scale = fmax(fmax(1, log(static_cast<double>(c.cols))), fabs(expected));
      EXPECT_NEAR(value[static_cast<size_t>(r)], expected, 4 * 1.1920929e-7 * scale) << "row " << r;
      for (size_t j = 0; j < lp.size(); ++j) {
        const double d = slope[j] - exp(lp[j]) * mean;
        ASSERT_NEAR(gradient[static_cast<size_t>(r * c.cols) + j], d, 1e-6 * scale) << "row " << r << " column " << j;
      }
    }
  }
};

TEST_F(DivergenceKindsTest, ValuesAndGradientsAreTheReferencesOnEveryTarget) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (int32_t kind = POLKA_FORWARD_KL; kind <= POLKA_GENERALIZED_KL; ++kind) {
      for (const Case& made :
           {Case{2, 17, kind}, Case{2, 4099, kind}, Case{2, 5001, kind, true}, Case{2, 4500, kind, false, true}}) {
        SCOPED_TRACE(testing::Message() << polka_target_name(target) << " kind " << kind << " " << made.cols);
        Make(made);
        EXPECT_FALSE(Run(gradient));
        Check();
      }
    }
  }
}

TEST_F(DivergenceKindsTest, TilesSharedOutAmongThreadsGiveTheSameBitsInPlaceToo) {
  for (const int32_t kind : {POLKA_REVERSE_KL, POLKA_SKEW_FORWARD_KL, POLKA_CHI_SQUARED}) {
    Make({1, 300'000, kind, true});
    EXPECT_FALSE(Run(gradient));
    const std::vector<float> values = value, whole = gradient;
    c.threads = 3;
    EXPECT_TRUE(Run(gradient)) << "the row must be cut into tiles here";
    EXPECT_EQ(value, values);
    EXPECT_EQ(gradient, whole);
    EXPECT_TRUE(Run(student));
    EXPECT_EQ(student, whole);
  }
}

TEST_F(DivergenceKindsTest, SpoiledArgumentsAreRefusedByName) {
  Make({2, 9, POLKA_JSD});
  const auto refused = [&](auto spoil, const char* text) {
    polka_divergence_args a = Arguments(gradient);
    spoil(a);
    EXPECT_EQ(polka_divergence(&a), POLKA_INVALID_ARGUMENT) << text;
    EXPECT_NE(std::string(polka_last_error()).find(text), std::string::npos) << polka_last_error();
  };
  refused([](auto& a) { a.kind = 9; }, "kind: 9 is not a divergence");
  refused([](auto& a) { a.beta = 1; }, "beta: 1 is not between 0 and 1");
  refused([](auto& a) { a.kind = POLKA_ALPHA, a.alpha = 1; }, "alpha: 1 is not finite, or 0 or 1");
  refused([](auto& a) { a.teacher.cols = 8; }, "set valid_vocab, or common_prefix");
  refused([](auto& a) { a.common_prefix = 2; }, "common_prefix");
  refused([](auto& a) { a.teacher_form = POLKA_LOG_WEIGHTS, a.teacher_softmax.temperature = 2; }, "temperature: 2");
  refused([](auto& a) { a.teacher_form = POLKA_LOG_WEIGHTS, a.teacher_softmax.softcap = 2; }, "softcap: 2");
  refused([](auto& a) { a.reference = a.teacher, a.lambda = NAN; }, "lambda: ");
  refused([](auto& a) { a.reference = a.teacher, a.reference.rows = 1; }, "reference: 1 rows");
  refused([](auto& a) { a.reference = a.d_student; }, "d_student");
}

}  // namespace
}  // namespace polka::test
