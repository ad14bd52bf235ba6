// divergence's kernels against an f64 reference and the CPU backend: every kind, type, strategy and
// alignment, in several thread orders; then with one mistake at a time.
#include <gtest/gtest.h>

#include "test/gpu.h"
#include "test/softmax_reference.h"

namespace polka::cuda::test {
namespace {

using emulator::Mistake;
using emulator::Options;
using emulator::Order;

constexpr double kEpsilon = 1.1920929e-7;
constexpr int32_t kTypes[] = {POLKA_F32, POLKA_BF16, POLKA_F16};
constexpr int32_t kKinds[] = {POLKA_FORWARD_KL, POLKA_REVERSE_KL, POLKA_JSD};
constexpr int64_t kOutputs = 4;

Options OffChip() {
  Options o;
  o.limits = {80, 108, 12 * 1024, 12 * 1024, 1};
  return o;
}

struct Case {
  Layout layout;
  int32_t kind = POLKA_FORWARD_KL;
  float beta = 0.3f, scale = 32;
  SoftmaxOptions student, teacher;
  std::vector<uint8_t> mask;
  std::vector<float> weight;
  bool in_place = false, widened = false;
};

struct Result {
  std::vector<float> outputs[kOutputs];  // value, student entropy, student lse, teacher lse
  double loss;
  std::vector<double> gradient;
  std::string findings;
  emulator::Traffic traffic;
};

int64_t BytesOf(const polka_matrix& m) { return ((m.rows - 1) * m.row_stride + m.cols) * SizeOf(m.dtype); }

std::vector<double> Values(const polka_matrix& m, const unsigned char* bytes) {
  std::vector<double> values;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t j = 0; j < m.cols; ++j) {
      values.push_back(Decode(m.dtype, bytes + (r * m.row_stride + j) * SizeOf(m.dtype)));
    }
  }
  return values;
}

template <class Place>
polka_divergence_args ArgsOf(const Case& c, const Logits& student, const Logits& teacher, const Place& place) {
  polka_divergence_args a = {};
  a.struct_size = sizeof a;
  a.student = student.MatrixAt(0);
  a.teacher = teacher.MatrixAt(0);
  const auto softmax = [&](const SoftmaxOptions& o) {
    return polka_softmax{0,
                         o.keep.empty() ? 0 : place(o.keep),
                         o.keep_stride,
                         o.valid_vocab,
                         static_cast<float>(o.temperature),
                         static_cast<float>(o.softcap)};
  };
  a.student_softmax = softmax(c.student);
  a.teacher_softmax = softmax(c.teacher);
  a.mask = c.mask.empty() ? 0 : place(c.mask);
  a.row_weight = c.weight.empty() ? 0 : place(c.weight);
  a.d_student = a.student;
  if (c.widened) a.d_student.dtype = POLKA_F32;
  a.divisor = 3;
  a.gradient_scale = c.scale;
  a.beta = c.beta;
  a.kind = c.kind;
  return a;
}

Result RunDivergence(const Case& c, const Logits& student, const Logits& teacher, const Options& options) {
  Gpu gpu(options);
  polka_divergence_args a = ArgsOf(c, student, teacher, [&](const auto& v) { return gpu.Input(v, "input"); });
  const uint64_t misalignment = c.layout.misalignment;
  a.teacher.data = gpu.Input(teacher.Bytes(), "teacher", misalignment == 0 ? 0 : misalignment + 4);
  if (c.in_place) {
    a.student.data = a.d_student.data = gpu.InOut(student.Bytes(), "student", misalignment);
  } else {
    a.student.data = gpu.Input(student.Bytes(), "student", misalignment);
    a.d_student.data = gpu.Output<unsigned char>(BytesOf(a.d_student), "d_student", c.widened ? 4 : misalignment);
  }
  uint64_t* fields[] = {&a.value, &a.student_entropy, &a.student_lse, &a.teacher_lse};
  for (uint64_t* field : fields) *field = gpu.Output<float>(c.layout.rows, "output");
  a.loss = gpu.Output<double>(1, "loss");
  gpu.Run(a);
  Result result;
  for (int64_t i = 0; i < kOutputs; ++i) result.outputs[i] = gpu.Fetch<float>(*fields[i], c.layout.rows);
  result.loss = gpu.Fetch<double>(a.loss, 1)[0];
  result.gradient = Values(a.d_student, gpu.Fetch<unsigned char>(a.d_student.data, BytesOf(a.d_student)).data());
  result.findings = gpu.Findings();
  result.traffic = gpu.traffic();
  return result;
}

Result RunOnCpu(const Case& c, const Logits& student, const Logits& teacher) {
  std::deque<std::vector<uint64_t>> arrays;
  const auto address = [&](uint64_t bytes) {
    return reinterpret_cast<uint64_t>(arrays.emplace_back(bytes / 8 + 16).data()) / 64 * 64 + 64;
  };
  const auto place = [&](const auto& v) {
    const uint64_t p = address(v.size() * sizeof v[0]);
    memcpy(reinterpret_cast<void*>(p), v.data(), v.size() * sizeof v[0]);
    return p;
  };
  polka_divergence_args a = ArgsOf(c, student, teacher, place);
  a.student.data = place(student.Bytes());
  a.teacher.data = place(teacher.Bytes());
  a.d_student.data = c.in_place ? a.student.data : address(static_cast<uint64_t>(BytesOf(a.d_student)));
  uint64_t* fields[] = {&a.value, &a.student_entropy, &a.student_lse, &a.teacher_lse};
  for (uint64_t* field : fields) *field = address(static_cast<uint64_t>(c.layout.rows) * 4);
  a.loss = address(8);
  a.exec.threads = 1;
  EXPECT_EQ(polka_divergence(&a), POLKA_OK) << polka_last_error();
  Result result;
  for (int64_t i = 0; i < kOutputs; ++i) {
    const float* p = reinterpret_cast<const float*>(*fields[i]);
    result.outputs[i].assign(p, p + c.layout.rows);
  }
  result.loss = *reinterpret_cast<const double*>(a.loss);
  result.gradient = Values(a.d_student, reinterpret_cast<const unsigned char*>(a.d_student.data));
  return result;
}

bool Same(const Result& a, const Result& b) {
  bool same = memcmp(&a.loss, &b.loss, 8) == 0 &&
              memcmp(a.gradient.data(), b.gradient.data(), a.gradient.size() * sizeof(double)) == 0;
  for (int64_t i = 0; i < kOutputs; ++i) {
    same &= memcmp(a.outputs[i].data(), b.outputs[i].data(), a.outputs[i].size() * sizeof(float)) == 0;
  }
  return same;
}

// Value of a row and its derivative with respect to the student's x, as on paper.
double ReferenceRow(const Case& c, const SoftmaxReference& s, const SoftmaxReference& t, std::vector<double>& dx) {
  const size_t columns = s.y.size();
  const double b = static_cast<double>(c.beta);
  double value = 0, k = 0;
  dx.assign(columns, 0);
  std::vector<double> log_m(columns);
  for (size_t j = 0; j < columns; ++j) {
    const double lp = s.LogP(static_cast<int64_t>(j)), lq = t.LogP(static_cast<int64_t>(j)), p = exp(lp), q = exp(lq);
    switch (c.kind) {
      case POLKA_FORWARD_KL:
        value += q == 0 ? 0 : q * (lq - lp);
        dx[j] = p - q;
        break;
      case POLKA_REVERSE_KL:
        value += p == 0 ? 0 : p * (lp - lq);
        break;
      default:
        log_m[j] = log(b * q + (1 - b) * p);
        value += (q == 0 ? 0 : b * q * (lq - log_m[j])) + (p == 0 ? 0 : (1 - b) * p * (lp - log_m[j]));
        k += p == 0 ? 0 : p * (lp - log_m[j]);
    }
  }
  for (size_t j = 0; j < columns; ++j) {
    const double lp = s.LogP(static_cast<int64_t>(j)), lq = t.LogP(static_cast<int64_t>(j)), p = exp(lp);
    if (c.kind == POLKA_REVERSE_KL) dx[j] = p == 0 ? 0 : p * (lp - lq - value);
    if (c.kind == POLKA_JSD) dx[j] = p == 0 ? 0 : (1 - b) * p * (lp - log_m[j] - k);
  }
  return value;
}

void Check(const Case& c, const Logits& student, const Logits& teacher, const Options& options) {
  const Result first = RunDivergence(c, student, teacher, options);
  EXPECT_EQ(first.findings, "");
  for (const Order order : {Order::kReverse, Order::kRandom}) {
    Options other = options;
    other.order = order;
    const Result again = RunDivergence(c, student, teacher, other);
    EXPECT_EQ(again.findings, "");
    EXPECT_TRUE(Same(first, again));
  }
  const Result cpu = RunOnCpu(c, student, teacher);
  const int64_t valid = c.student.valid_vocab == 0 ? c.layout.cols : c.student.valid_vocab;
  const double log_v = std::max(1.0, log(static_cast<double>(c.layout.cols)));
  const int32_t dtype = c.widened ? POLKA_F32 : c.layout.dtype;
  double loss = 0;
  int wrong = 0;
  for (int64_t r = 0; r < c.layout.rows; ++r) {
    const size_t i = static_cast<size_t>(r);
    const bool masked = !c.mask.empty() && c.mask[i] == 0;
    const SoftmaxReference s = ReferenceOf(student, r, -1, c.student), t = ReferenceOf(teacher, r, -1, c.teacher);
    std::vector<double> dx;
    const double value = ReferenceRow(c, s, t, dx);
    const double weight = c.weight.empty() ? 1 : static_cast<double>(c.weight[i]);
    if (masked) {
      for (const std::vector<float>& o : first.outputs) EXPECT_EQ(o[i], 0);
    } else {
      const double expected[] = {value, s.entropy, s.lse, t.lse};
      const double scale[] = {std::max(log_v, value), log_v, std::max(1.0, fabs(s.lse)), std::max(1.0, fabs(t.lse))};
      for (int64_t k = 0; k < kOutputs; ++k) {
        EXPECT_NEAR(first.outputs[k][i], expected[k], 4 * kEpsilon * scale[k]) << "output " << k << " of row " << r;
        EXPECT_NEAR(first.outputs[k][i], cpu.outputs[k][i], 8 * kEpsilon * scale[k]) << "output " << k;
      }
      loss += weight * value / 3;
    }
    const double upstream = c.scale * weight / 3 / c.student.temperature;
    for (int64_t j = 0; j < c.layout.cols; ++j) {
      const size_t k = static_cast<size_t>(r * c.layout.cols + j);
      double expected = masked || j >= valid ? 0 : upstream * dx[static_cast<size_t>(j)];
      if (c.student.softcap != 0) expected *= 1 - pow(tanh(student.At(r, j) / c.student.softcap), 2);
      const double tolerance = 4 * kEpsilon * fabs(upstream) * std::max(1.0, log_v) + HalfUlp(dtype, expected);
      const bool good =
          fabs(first.gradient[k] - expected) <= tolerance && fabs(first.gradient[k] - cpu.gradient[k]) <= 2 * tolerance;
      if (!good && ++wrong <= 5) {
        ADD_FAILURE() << "row " << r << " column " << j << ": " << first.gradient[k] << ", reference " << expected
                      << ", CPU " << cpu.gradient[k];
      }
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_NEAR(first.loss, loss, 1e-5 * std::max(1.0, fabs(loss)));
}

std::string Name(const Case& c) {
  return "kind " + std::to_string(c.kind) + " dtype " + std::to_string(c.layout.dtype) + " columns " +
         std::to_string(c.layout.cols) + " misaligned by " + std::to_string(c.layout.misalignment) +
         (c.in_place ? " in place" : "");
}

TEST(Divergence, EveryKindTypeAndStrategyIsRight) {
  for (const int32_t kind : kKinds) {
    for (const int32_t dtype : kTypes) {
      for (const int64_t cols : {1, 9, 2049, 8191, 33333}) {
        Case c;
        c.kind = kind;
        c.layout = {dtype, 3, cols, 0, cols == 8191 ? static_cast<uint64_t>(SizeOf(dtype)) : 0};
        c.mask = {1, 0, 1};
        c.weight = {0.5f, 1, 2};
        c.teacher.temperature = 2;
        c.in_place = cols % 3 == 0;
        const Logits student(c.layout, 3, 2), teacher(c.layout, 4, 2);
        SCOPED_TRACE(Name(c));
        for (const Options& options : {Options(), OffChip()}) Check(c, student, teacher, options);
      }
    }
  }
}

TEST(Divergence, EveryStrategyGivesTheSameBits) {
  for (const int32_t kind : kKinds) {
    Case c;
    c.kind = kind;
    c.layout = {POLKA_BF16, 1, 128256};
    const Logits student(c.layout, 3), teacher(c.layout, 4);
    const Result clusters = RunDivergence(c, student, teacher, {});
    EXPECT_EQ(clusters.findings, "");
    EXPECT_GT(clusters.traffic.cluster_barriers, 2);
    EXPECT_GT(clusters.traffic.copy_waits, 0);
    EXPECT_LT(clusters.traffic.wide_bytes, 3.1 * 128256 * 2);  // in once, in once, out once
    EXPECT_TRUE(Same(clusters, RunDivergence(c, student, teacher, OffChip())));
  }
}

TEST(Divergence, SoftcapKeepMaskPaddingAndWideGradient) {
  for (const int32_t kind : kKinds) {
    for (const int32_t dtype : kTypes) {
      Case c;
      c.kind = kind;
      c.layout = {dtype, 2, 4100};
      c.student.softcap = 12;
      c.teacher.softcap = 20;
      c.student.valid_vocab = c.teacher.valid_vocab = 4095;
      c.student.keep_stride = c.teacher.keep_stride = 513;
      std::mt19937 random(3);
      for (int i = 0; i < 2 * 513; ++i) {
        c.student.keep.push_back(0xFF);
        c.teacher.keep.push_back(static_cast<uint8_t>(random()));
      }
      // What the teacher alone excludes, reverse KL cannot bear.
      if (kind == POLKA_REVERSE_KL) c.student.keep = c.teacher.keep;
      c.widened = dtype != POLKA_F32;
      SCOPED_TRACE(Name(c));
      Check(c, Logits(c.layout, 3, 4), Logits(c.layout, 4, 4), {});
    }
  }
}

TEST(Divergence, EqualDistributionsGiveExactlyZeroAndDisjointOnesLnTwo) {
  Case c;
  c.layout = {POLKA_F32, 1, 5000};
  const Logits same(c.layout, 3);
  for (const int32_t kind : kKinds) {
    c.kind = kind;
    const Result r = RunDivergence(c, same, same, {});
    EXPECT_EQ(r.outputs[0][0], 0) << kind;
    for (const double d : r.gradient) EXPECT_NEAR(d, 0, 1e-9);
  }
  Logits left(c.layout, 3), right(c.layout, 4);
  for (int64_t j = 0; j < 5000; ++j) (j < 2500 ? left : right).At(0, j) = -INFINITY;
  c.kind = POLKA_JSD;
  c.beta = 0.5f;
  EXPECT_NEAR(RunDivergence(c, left, right, {}).outputs[0][0], log(2), 1e-6);
  c.kind = POLKA_FORWARD_KL;
  const Result infinite = RunDivergence(c, left, right, {});
  EXPECT_EQ(infinite.outputs[0][0], INFINITY);
  for (const double d : infinite.gradient) EXPECT_EQ(d, 0);
}

bool Caught(const Case& c, const Logits& student, const Logits& teacher, Options options, Mistake mistake,
            int nth = 0) {
  const Result right = RunDivergence(c, student, teacher, options);
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    options.order = order;
    options.mistake = mistake;
    options.nth = nth;
    const Result wrong = RunDivergence(c, student, teacher, options);
    if (wrong.findings != "" || !Same(right, wrong)) return true;
  }
  return false;
}

TEST(Divergence, EveryBarrierAndWaitIsNeededAndItsLossIsCaught) {
  for (const int64_t cols : {4095, 9000, 40001}) {
    Case c;
    c.kind = POLKA_REVERSE_KL;
    c.layout = {POLKA_BF16, 1, cols, 0, cols % 2 == 0 ? 0u : 2u};
    c.in_place = true;
    const Logits student(c.layout, 3), teacher(c.layout, 4);
    for (const Options& options : {Options(), OffChip()}) {
      const emulator::Traffic met = RunDivergence(c, student, teacher, options).traffic;
      EXPECT_GT(met.warp_barriers + met.block_barriers + met.cluster_barriers, 0);
      const auto every = [&](Mistake mistake, int count, const char* name) {
        for (int i = 0; i < count; ++i) {
          EXPECT_TRUE(Caught(c, student, teacher, options, mistake, i)) << name << i << " of " << count << ", " << cols;
        }
      };
      every(Mistake::kSkipWarpBarrier, met.warp_barriers, "warp barrier ");
      every(Mistake::kSkipBlockBarrier, met.block_barriers, "block barrier ");
      every(Mistake::kSkipClusterBarrier, met.cluster_barriers, "cluster barrier ");
      every(Mistake::kSkipCopyWait, met.copy_waits, "wait for a copy ");
    }
  }
}

TEST(Divergence, OneColumnMoreOrLessAndNarrowVectorsAreCaught) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {7, 5001}) {
      Case c;
      c.layout = {dtype, 2, cols};
      const Logits student(c.layout, 3, 0.5), teacher(c.layout, 4, 0.5);
      for (const Options& options : {Options(), OffChip()}) {
        EXPECT_TRUE(Caught(c, student, teacher, options, Mistake::kOneColumnMore)) << Name(c);
        EXPECT_TRUE(Caught(c, student, teacher, options, Mistake::kOneColumnLess)) << Name(c);
      }
      Options narrow;
      narrow.mistake = Mistake::kNarrowVectors;
      EXPECT_LT(RunDivergence(c, student, teacher, {}).traffic.narrow_bytes, 4000) << Name(c);
      if (cols > 1000) {
        EXPECT_GT(RunDivergence(c, student, teacher, narrow).traffic.narrow_bytes, 2 * 3 * cols) << Name(c);
      }
    }
  }
}

}  // namespace
}  // namespace polka::cuda::test
