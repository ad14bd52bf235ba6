// divergence with values: every kind in every storage type against a plain f64 reference, on every
// instruction set, with rows whole and cut into tiles, so that the sanitizers see the traversals too.
#include <gtest/gtest.h>
#include <math.h>
#include <string.h>

#include <random>
#include <vector>

#include "arguments.h"

namespace polka::test {
namespace {

constexpr double kEps = 1.1920929e-7;

// Elements of one storage type.
struct Elements {
  int32_t dtype = POLKA_F32;
  std::vector<uint8_t> bytes;

  int64_t Size() const { return dtype == POLKA_F32 ? 4 : 2; }
  void Resize(int64_t count) { bytes.assign(static_cast<size_t>(count * Size()), 0xAA); }
  uint8_t* At(int64_t i) { return bytes.data() + i * Size(); }
  const uint8_t* At(int64_t i) const { return bytes.data() + i * Size(); }

  double Get(int64_t i) const {
    if (dtype == POLKA_F16) {
      _Float16 half;
      memcpy(&half, At(i), 2);
      return static_cast<double>(half);
    }
    uint8_t wide[4] = {};
    memcpy(dtype == POLKA_F32 ? wide : wide + 2, At(i), static_cast<size_t>(Size()));
    float f;
    memcpy(&f, wide, 4);
    return static_cast<double>(f);
  }

  // Truncates to bf16: any value that the type holds is as good as another.
  void Set(int64_t i, float value) {
    if (dtype == POLKA_F16) {
      const _Float16 half = static_cast<_Float16>(value);
      memcpy(At(i), &half, 2);
      return;
    }
    const char* from = reinterpret_cast<const char*>(&value);
    memcpy(At(i), dtype == POLKA_F32 ? from : from + 2, static_cast<size_t>(Size()));
  }

  // Half a unit in the last place of a result near `value`.
  double Rounding(double value) const {
    return dtype == POLKA_F32 ? 0 : dtype == POLKA_BF16 ? fabs(value) / 256 : fabs(value) / 2048 + 0x1p-25;
  }
};

struct Case {
  int64_t rows, cols;
  int32_t dtype = POLKA_F32;
  float temperature = 1, teacher_temperature = 1, softcap = 0;
  int64_t valid_vocab = 0;
  int32_t threads = 1;
  int32_t gradient_dtype = -1;  // -1: the logits'
};

struct Row {
  std::vector<double> log_p;
  double lse, entropy;
};

class DivergenceTest : public testing::TestWithParam<int32_t> {
 protected:
  static constexpr float kBeta = 0.3f, kScale = 2;
  static constexpr double kDivisor = 3;

  Case c;
  Elements student, teacher, gradient;
  std::vector<uint8_t> mask, workspace;
  std::vector<float> weight, value, entropy, student_lse, teacher_lse;
  double loss = 99;

  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }

  int64_t Valid() const { return c.valid_vocab == 0 ? c.cols : c.valid_vocab; }

  void Make(const Case& made) {
    c = made;
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0, 2);
    student.dtype = teacher.dtype = c.dtype;
    gradient.dtype = c.gradient_dtype < 0 ? c.dtype : c.gradient_dtype;
    for (Elements* side : {&student, &teacher}) {
      side->Resize(c.rows * c.cols);
      // What lies beyond the vocabulary must not be read.
      for (int64_t i = 0; i < c.rows * c.cols; ++i) side->Set(i, i % c.cols < Valid() ? normal(random) : NAN);
    }
    mask.assign(static_cast<size_t>(c.rows), 1);
    weight.resize(static_cast<size_t>(c.rows));
    for (float& w : weight) w = fabsf(normal(random));
    Clear();
  }

  void Clear() {
    for (auto* v : {&value, &entropy, &student_lse, &teacher_lse}) v->assign(static_cast<size_t>(c.rows), 99);
    gradient.Resize(c.rows * c.cols);
    loss = 99;
  }

  void MaskOut(int64_t row) {
    mask[static_cast<size_t>(row)] = 0;
    for (int64_t j = 0; j < c.cols; ++j) {
      student.Set(row * c.cols + j, NAN);
      teacher.Set(row * c.cols + j, INFINITY);
    }
  }

  // Runs into `out`; true where the rows were cut into tiles.
  bool Run(Elements& out) {
    polka_divergence_args a = {};
    a.struct_size = sizeof a;
    a.exec.threads = c.threads;
    a.student = MatrixOf(student.bytes.data(), c.rows, c.cols, c.dtype);
    a.teacher = MatrixOf(teacher.bytes.data(), c.rows, c.cols, c.dtype);
    a.student_softmax = {0, 0, 0, c.valid_vocab, c.temperature, c.softcap};
    a.teacher_softmax = {0, 0, 0, c.valid_vocab, c.teacher_temperature, c.softcap};
    a.mask = Address(mask.data());
    a.row_weight = Address(weight.data());
    a.value = Address(value.data());
    a.student_entropy = Address(entropy.data());
    a.student_lse = Address(student_lse.data());
    a.teacher_lse = Address(teacher_lse.data());
    a.loss = Address(&loss);
    a.d_student = MatrixOf(out.bytes.data(), c.rows, c.cols, out.dtype);
    a.divisor = kDivisor;
    a.gradient_scale = kScale;
    a.beta = kBeta;
    a.kind = GetParam();
    EXPECT_EQ(polka_divergence_workspace(&a), POLKA_OK) << polka_last_error();
    workspace.resize(static_cast<size_t>(a.exec.workspace_needed) + 64);
    a.exec.workspace = (Address(workspace.data()) + 63) / 64 * 64;
    a.exec.workspace_bytes = a.exec.workspace_needed;
    EXPECT_EQ(polka_divergence(&a), POLKA_OK) << polka_last_error();
    return a.exec.workspace_needed > 0;
  }

  Row ReferenceRow(const Elements& side, int64_t r, double temperature) const {
    Row row = {std::vector<double>(static_cast<size_t>(Valid())), 0, 0};
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < Valid(); ++j) {
      double z = side.Get(r * c.cols + j);
      if (c.softcap != 0 && isfinite(z)) z = c.softcap * tanh(z / c.softcap);
      row.log_p[static_cast<size_t>(j)] = z / temperature;
      largest = fmax(largest, z / temperature);
    }
    for (const double x : row.log_p) sum += exp(x - largest);
    row.lse = largest + log(sum);
    for (double& x : row.log_p) {
      x -= row.lse;
      row.entropy -= x == -INFINITY ? 0 : exp(x) * x;
    }
    return row;
  }

  // sum a (ln a - ln b), the terms with a = 0 left out.
  static double Kl(const std::vector<double>& log_a, const std::vector<double>& log_b) {
    double sum = 0;
    for (size_t j = 0; j < log_a.size(); ++j) sum += log_a[j] == -INFINITY ? 0 : exp(log_a[j]) * (log_a[j] - log_b[j]);
    return sum;
  }

  // The value of a row and its derivatives for the student's x = y / T, by the definitions.
  static double Reference(int32_t kind, const Row& p, const Row& q, std::vector<double>& derivative) {
    std::vector<double> log_m(p.log_p.size());
    for (size_t j = 0; j < log_m.size(); ++j) {
      log_m[j] = log(static_cast<double>(kBeta) * exp(q.log_p[j]) + (1 - static_cast<double>(kBeta)) * exp(p.log_p[j]));
    }
    const double reverse = Kl(p.log_p, q.log_p), to_mixture = Kl(p.log_p, log_m);
    for (size_t j = 0; j < log_m.size(); ++j) {
      const double lp = p.log_p[j], pj = exp(lp);
      derivative[j] = pj == 0                    ? 0
                      : kind == POLKA_FORWARD_KL ? pj - exp(q.log_p[j])
                      : kind == POLKA_REVERSE_KL ? pj * (lp - q.log_p[j] - reverse)
                                                 : (1 - static_cast<double>(kBeta)) * pj * (lp - log_m[j] - to_mixture);
    }
    return kind == POLKA_FORWARD_KL   ? Kl(q.log_p, p.log_p)
           : kind == POLKA_REVERSE_KL ? reverse
                                      : kBeta * Kl(q.log_p, log_m) + (1 - static_cast<double>(kBeta)) * to_mixture;
  }

  // Everything against f64.
  void Check() {
    double expected_loss = 0, loss_scale = 0;
    for (int64_t r = 0; r < c.rows; ++r) {
      SCOPED_TRACE(testing::Message() << "row " << r);
      const size_t row = static_cast<size_t>(r);
      if (mask[row] == 0) {
        for (const auto* v : {&value, &entropy, &student_lse, &teacher_lse}) EXPECT_EQ((*v)[row], 0);
        for (int64_t j = 0; j < c.cols; ++j) ASSERT_EQ(gradient.Get(r * c.cols + j), 0) << "column " << j;
        continue;
      }
      const Row p = ReferenceRow(student, r, c.temperature), q = ReferenceRow(teacher, r, c.teacher_temperature);
      std::vector<double> derivative(static_cast<size_t>(Valid()));
      const double d = Reference(GetParam(), p, q, derivative);
      // 4 eps of the value, of ln V, and of the softcapped logits, which are rounded.
      const double scale = fmax(fmax(1, log(static_cast<double>(c.cols))), fmax(isinf(d) ? 0 : d, c.softcap));
      if (isinf(d)) {
        EXPECT_EQ(value[row], d);
      } else {
        EXPECT_NEAR(value[row], d, 4 * kEps * scale);
      }
      EXPECT_NEAR(entropy[row], p.entropy, 4 * kEps * scale);
      EXPECT_NEAR(student_lse[row], p.lse, 4 * kEps * fmax(scale, fabs(p.lse)));
      EXPECT_NEAR(teacher_lse[row], q.lse, 4 * kEps * fmax(scale, fabs(q.lse)));
      expected_loss += static_cast<double>(weight[row]) * d / kDivisor;
      loss_scale += static_cast<double>(weight[row]) * scale / kDivisor;
      const double upstream = static_cast<double>(weight[row] * kScale) / kDivisor / c.temperature;
      for (int64_t j = 0; j < c.cols; ++j) {
        double g = 0;
        if (j < Valid() && !isinf(d)) {
          g = upstream * derivative[static_cast<size_t>(j)];
          if (c.softcap != 0) g *= 1 - pow(tanh(student.Get(r * c.cols + j) / c.softcap), 2);
        }
        ASSERT_NEAR(gradient.Get(r * c.cols + j), g, 4 * kEps * upstream * scale + gradient.Rounding(g))
            << "column " << j;
      }
    }
    if (isinf(expected_loss)) {
      EXPECT_EQ(loss, expected_loss);
    } else {
      EXPECT_NEAR(loss, expected_loss, 4 * kEps * loss_scale);
    }
  }
};

TEST_P(DivergenceTest, ValuesAndGradientsAreTheReferencesOnEveryTarget) {
  for (const int32_t target : SupportedTargets()) {
    ASSERT_EQ(polka_force_target(target), POLKA_OK);
    for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
      for (const Case& made :
           {Case{3, 1, dtype}, Case{3, 17, dtype}, Case{2, 4097, dtype}, Case{2, 9001, dtype, 0.7f, 2},
            Case{2, 5003, dtype, 1, 1, 20}, Case{2, 4500, dtype, 2, 0.8f, 0, 4321},
            Case{2, 5000, dtype, 1, 1, 0, 0, 1, POLKA_F32}}) {
        SCOPED_TRACE(testing::Message() << polka_target_name(target) << " dtype " << dtype << " " << made.cols);
        Make(made);
        Run(gradient);
        Check();
      }
    }
  }
}

TEST_P(DivergenceTest, MaskedRowsAreZeroAndNotRead) {
  for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
    for (const int32_t threads : {1, 3}) {
      Make({4, threads == 1 ? 500 : 300'000, dtype});
      c.threads = threads;
      MaskOut(0);
      MaskOut(2);
      Run(gradient);
      Check();
    }
  }
}

TEST_P(DivergenceTest, WithEveryRowMaskedTheLossIsZero) {
  Make({2, 33});
  MaskOut(0);
  MaskOut(1);
  Run(gradient);
  Check();
  EXPECT_EQ(loss, 0);
}

TEST_P(DivergenceTest, EqualSidesGiveExactlyZero) {
  for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
    Make({3, 5001, dtype, 0.7f, 0.7f});
    teacher = student;
    Run(gradient);
    EXPECT_EQ(value, std::vector<float>(3, 0.0f));
    EXPECT_EQ(loss, 0);
    for (int64_t i = 0; i < c.rows * c.cols; ++i) ASSERT_EQ(gradient.Get(i), 0) << i;
  }
}

// A column at -inf on both sides is no column; on one side it makes one of the KLs infinite, and an
// infinite row has no gradient.
TEST_P(DivergenceTest, MinusInfinityIsAProbabilityOfZero) {
  for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
    for (const int32_t threads : {1, 3}) {
      Make({4, threads == 1 ? 700 : 300'000, dtype});
      c.threads = threads;
      for (const int64_t j : {int64_t{3}, c.cols - 1}) {
        for (Elements* side : {&student, &teacher}) side->Set(0 * c.cols + j, -INFINITY);
        student.Set(1 * c.cols + j, -INFINITY);
        teacher.Set(2 * c.cols + j, -INFINITY);
      }
      Run(gradient);
      Check();
      EXPECT_TRUE(isfinite(value[0]));
      EXPECT_EQ(isinf(value[1]), GetParam() == POLKA_FORWARD_KL);
      EXPECT_EQ(isinf(value[2]), GetParam() == POLKA_REVERSE_KL);
      EXPECT_TRUE(isfinite(value[3]));
    }
  }
}

TEST_P(DivergenceTest, NanIsForItsRowAlone) {
  Make({3, 900});
  student.Set(1 * c.cols + 5, NAN);
  Run(gradient);
  EXPECT_TRUE(isnan(value[1]));
  EXPECT_TRUE(isnan(gradient.Get(c.cols)));
  EXPECT_TRUE(isnan(loss));
  for (const int64_t r : {0, 2}) {
    EXPECT_TRUE(isfinite(value[static_cast<size_t>(r)]));
    for (int64_t j = 0; j < c.cols; ++j) ASSERT_TRUE(isfinite(gradient.Get(r * c.cols + j)));
  }
}

TEST_P(DivergenceTest, TilesSharedOutAmongThreadsGiveTheSameBits) {
  Make({1, 550'000});
  EXPECT_FALSE(Run(gradient));
  const std::vector<float> whole = {value[0], entropy[0], student_lse[0], teacher_lse[0]};
  const std::vector<uint8_t> expected = gradient.bytes;
  const double expected_loss = loss;
  Clear();
  c.threads = 3;
  EXPECT_TRUE(Run(gradient)) << "the row must be cut into tiles here";
  EXPECT_EQ(whole, (std::vector<float>{value[0], entropy[0], student_lse[0], teacher_lse[0]}));
  EXPECT_EQ(loss, expected_loss);
  EXPECT_EQ(gradient.bytes, expected);
  Check();
}

TEST_P(DivergenceTest, InPlaceGivesTheSameBits) {
  for (const int32_t dtype : {POLKA_F32, POLKA_BF16, POLKA_F16}) {
    for (const int32_t threads : {1, 3}) {
      Make({2, dtype == POLKA_F32 ? 275'000 : 550'000, dtype});
      c.threads = threads;
      MaskOut(1);
      Run(gradient);
      const float expected = value[0];
      Run(student);
      EXPECT_EQ(value[0], expected);
      EXPECT_EQ(student.bytes, gradient.bytes) << threads << " threads";
    }
  }
}

std::string NameOf(const testing::TestParamInfo<int32_t>& info) {
  return info.param == POLKA_FORWARD_KL ? "ForwardKl" : info.param == POLKA_REVERSE_KL ? "ReverseKl" : "Jsd";
}

INSTANTIATE_TEST_SUITE_P(Kinds, DivergenceTest, testing::Values(POLKA_FORWARD_KL, POLKA_REVERSE_KL, POLKA_JSD), NameOf);

}  // namespace
}  // namespace polka::test
