// The gradient of log_prob: in place and apart, aligned and not, against an f64 reference and the CPU
// backend; then with one mistake at a time.
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

Options Blocks() {
  Options o;
  o.limits = {80, 108, 163 * 1024, 164 * 1024, 1};
  return o;
}

struct Case {
  Layout layout;
  SoftmaxOptions softmax;
  std::vector<int64_t> targets;
  bool in_place = false;
  bool widened = false;  // 16-bit logits, f32 gradient
  uint64_t gradient_misalignment = 0;
  int64_t gradient_stride = 0;  // 0 = cols
  double d_log_prob = 1, d_entropy = 0, d_self_certainty = 0;
  float scale = 1;
};

struct Saved {
  std::vector<float> max, log_sum, entropy, finite;
};

Saved SavedOf(const Case& c, const Logits& logits) {
  Saved s;
  for (int64_t r = 0; r < c.layout.rows; ++r) {
    const int64_t target = c.targets[static_cast<size_t>(r)];
    const SoftmaxReference ref = ReferenceOf(logits, r, target < 0 ? 0 : target, c.softmax);
    s.max.push_back(static_cast<float>(ref.max));
    s.log_sum.push_back(static_cast<float>(ref.log_sum));
    s.entropy.push_back(static_cast<float>(ref.entropy));
    s.finite.push_back(static_cast<float>(ref.finite));
  }
  return s;
}

struct Backward {
  std::vector<double> gradient;  // [rows, cols]
  std::string findings;
  emulator::Traffic traffic;
  uint64_t status;
};

// `place(vector)` gives an address.
template <class Place>
polka_log_prob_backward_args BackwardArgs(const Case& c, const Logits& logits, const Saved& saved, const Place& place) {
  polka_log_prob_backward_args a = {};
  a.struct_size = sizeof a;
  const auto upstream = [&](double d) {
    return d == 0 ? 0 : place(std::vector<float>(static_cast<size_t>(c.layout.rows), static_cast<float>(d)));
  };
  a.targets = {place(c.targets), 0, -100, POLKA_I64, 0};
  a.softmax = {0,
               c.softmax.keep.empty() ? 0 : place(c.softmax.keep),
               c.softmax.keep_stride,
               c.softmax.valid_vocab,
               static_cast<float>(c.softmax.temperature),
               static_cast<float>(c.softmax.softcap)};
  a.max = place(saved.max);
  a.log_sum = place(saved.log_sum);
  a.entropy = place(saved.entropy);
  a.finite_columns = place(saved.finite);
  a.d_log_prob = upstream(c.d_log_prob);
  a.d_entropy = upstream(c.d_entropy);
  a.d_self_certainty = upstream(c.d_self_certainty);
  a.gradient_scale = c.scale;
  a.logits = logits.MatrixAt(0);
  a.d_logits = a.logits;
  if (!c.in_place) {
    a.d_logits.dtype = c.widened ? POLKA_F32 : c.layout.dtype;
    a.d_logits.row_stride = c.gradient_stride == 0 ? c.layout.cols : c.gradient_stride;
    a.d_logits.outer_rows = 1;
  }
  return a;
}

int64_t GradientElement(const polka_matrix& m, int64_t r, int64_t j) {
  const int64_t inner = m.rows / m.outer_rows;
  return (r / inner) * m.outer_stride + (r % inner) * m.row_stride + j;
}

std::vector<double> Values(const polka_matrix& m, const std::vector<unsigned char>& bytes) {
  std::vector<double> values;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t j = 0; j < m.cols; ++j) values.push_back(ElementAt(bytes, m.dtype, GradientElement(m, r, j)));
  }
  return values;
}

int64_t BytesOf(const polka_matrix& m) { return (GradientElement(m, m.rows - 1, m.cols - 1) + 1) * SizeOf(m.dtype); }

Backward RunBackward(const Case& c, const Logits& logits, const Options& options) {
  Gpu gpu(options);
  polka_log_prob_backward_args a =
      BackwardArgs(c, logits, SavedOf(c, logits), [&](const auto& v) { return gpu.Input(v, "input"); });
  const std::vector<unsigned char> bytes = logits.Bytes();
  if (c.in_place) {
    a.logits.data = a.d_logits.data = gpu.InOut(bytes, "logits", c.layout.misalignment);
  } else {
    a.logits.data = gpu.Input(bytes, "logits", c.layout.misalignment);
    a.d_logits.data = gpu.Output<unsigned char>(BytesOf(a.d_logits), "d_logits", c.gradient_misalignment);
  }
  gpu.Run(a);
  Backward b;
  b.gradient = Values(a.d_logits, gpu.Fetch<unsigned char>(a.d_logits.data, BytesOf(a.d_logits)));
  b.findings = gpu.Findings();
  b.traffic = gpu.traffic();
  b.status = gpu.Status();
  return b;
}

std::vector<double> RunOnCpu(const Case& c, const Logits& logits) {
  std::deque<std::vector<unsigned char>> arrays;
  polka_log_prob_backward_args a = BackwardArgs(c, logits, SavedOf(c, logits), [&](const auto& v) {
    const auto* p = reinterpret_cast<const unsigned char*>(v.data());
    return reinterpret_cast<uint64_t>(arrays.emplace_back(p, p + v.size() * sizeof v[0]).data());
  });
  a.exec.threads = 1;
  a.logits.data = reinterpret_cast<uint64_t>(arrays.emplace_back(logits.Bytes()).data());
  a.d_logits.data = reinterpret_cast<uint64_t>(arrays.emplace_back(static_cast<size_t>(BytesOf(a.d_logits))).data());
  if (c.in_place) a.d_logits.data = a.logits.data;
  EXPECT_EQ(polka_log_prob_backward(&a), POLKA_OK) << polka_last_error();
  return Values(a.d_logits, arrays[arrays.size() - (c.in_place ? 2 : 1)]);
}

void Check(const Case& c, const Logits& logits) {
  const Backward first = RunBackward(c, logits, {});
  EXPECT_EQ(first.findings, "");
  for (const Options& strategy : {Options(), Blocks()}) {
    for (const Order order : {Order::kReverse, Order::kRandom}) {
      Options options = strategy;
      options.order = order;
      const Backward again = RunBackward(c, logits, options);
      EXPECT_EQ(again.findings, "");
      EXPECT_EQ(memcmp(first.gradient.data(), again.gradient.data(), first.gradient.size() * sizeof(double)), 0);
    }
  }
  const std::vector<double> cpu = RunOnCpu(c, logits);
  const int64_t valid = c.softmax.valid_vocab == 0 ? c.layout.cols : c.softmax.valid_vocab;
  const int32_t dtype = c.widened ? POLKA_F32 : c.layout.dtype;
  const double upstream =
      fabs(c.d_log_prob) + fabs(c.d_entropy) * log(static_cast<double>(c.layout.cols) + 3) + fabs(c.d_self_certainty);
  const double scale = 4 * kEpsilon * fabs(c.scale) * upstream / c.softmax.temperature;
  int wrong = 0;
  for (int64_t r = 0; r < c.layout.rows; ++r) {
    const int64_t target = c.targets[static_cast<size_t>(r)];
    const SoftmaxReference s = ReferenceOf(logits, r, target < 0 ? 0 : target, c.softmax);
    for (int64_t j = 0; j < c.layout.cols; ++j) {
      const size_t i = static_cast<size_t>(r * c.layout.cols + j);
      const double expected =
          target == -100 || j >= valid
              ? 0
              : c.scale * ReferenceGradient(s, logits, r, j, c.softmax, c.d_log_prob, c.d_entropy, c.d_self_certainty);
      const double tolerance = scale + HalfUlp(dtype, expected);
      const bool good = fabs(first.gradient[i] - expected) <= tolerance &&
                        fabs(first.gradient[i] - cpu[i]) <= 2 * tolerance + HalfUlp(dtype, expected);
      if (!good && ++wrong <= 5) {
        ADD_FAILURE() << "row " << r << " column " << j << ": " << first.gradient[i] << ", reference " << expected
                      << ", CPU " << cpu[i] << ", tolerance " << tolerance;
      }
    }
  }
  EXPECT_EQ(wrong, 0);
}

std::vector<int64_t> SpreadTargets(int64_t rows, int64_t cols) {
  std::vector<int64_t> targets;
  for (int64_t r = 0; r < rows; ++r) targets.push_back(r == 0 ? cols - 1 : r == 1 ? -100 : (r * 7919) % cols);
  return targets;
}

std::string Name(const Case& c) {
  return "dtype " + std::to_string(c.layout.dtype) + " columns " + std::to_string(c.layout.cols) + " misaligned by " +
         std::to_string(c.layout.misalignment) + " and " + std::to_string(c.gradient_misalignment) +
         (c.in_place  ? " in place"
          : c.widened ? " widened"
                      : "");
}

TEST(LogProbBackward, EveryVocabularyAndAlignmentIsRight) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {1, 2, 7, 9, 2048, 2049, 4099, 50257}) {
      for (const int64_t elements : {0, 1, 3}) {
        for (const int way : {0, 1, 2}) {
          Case c;
          const uint64_t size = static_cast<uint64_t>(SizeOf(dtype));
          c.layout = {dtype, 3, cols, 0, static_cast<uint64_t>(elements) * size};
          c.targets = SpreadTargets(3, cols);
          c.softmax.temperature = 0.5;
          c.in_place = way == 0;
          c.widened = way == 1 && dtype != POLKA_F32;
          c.gradient_stride = way == 2 ? cols + 1 : 0;
          c.gradient_misalignment = way == 2 ? 2 * size : c.widened ? 4 : 0;
          c.scale = 64;
          SCOPED_TRACE(Name(c));
          Check(c, Logits(c.layout, static_cast<uint32_t>(cols)));
        }
      }
    }
  }
}

TEST(LogProbBackward, EveryUpstreamGradientWithSoftcapKeepMaskAndPadding) {
  for (const int32_t dtype : kTypes) {
    for (const double softcap : {0.0, 15.0}) {
      Case c;
      c.layout = {dtype, 3, 4099, 0, static_cast<uint64_t>(SizeOf(dtype))};
      c.targets = {4095, 5, 2047};
      c.softmax.softcap = softcap;
      c.softmax.valid_vocab = 4096;
      c.softmax.keep_stride = 513;
      std::mt19937 random(3);
      for (int i = 0; i < 3 * 513; ++i) c.softmax.keep.push_back(static_cast<uint8_t>(random()));
      c.d_entropy = 0.25;
      c.d_self_certainty = -0.5;
      c.scale = 8;
      for (const bool in_place : {false, true}) {
        c.in_place = in_place;
        SCOPED_TRACE(Name(c));
        Check(c, Logits(c.layout, 12));
      }
    }
  }
}

TEST(LogProbBackward, ATargetAtMinusInfinityHasNoGradient) {
  Case c;
  c.layout = {POLKA_F32, 1, 9000};
  c.targets = {3};
  Logits logits(c.layout, 12);
  logits.At(0, 3) = -INFINITY;
  for (const bool in_place : {false, true}) {
    c.in_place = in_place;
    for (const Options& options : {Options(), Blocks()}) {
      const Backward b = RunBackward(c, logits, options);
      EXPECT_EQ(b.findings, "");
      for (const double d : b.gradient) EXPECT_EQ(d, 0);
    }
  }
}

TEST(LogProbBackward, ConfidentTargetsKeepTheirDigits) {
  for (const int32_t dtype : kTypes) {
    Case c;
    c.layout = {dtype, 1, 3000};
    c.targets = {42};
    c.scale = 1024;
    Logits logits(c.layout, 12, 0.1);
    logits.Set(0, 42, 17);
    const SoftmaxReference s = ReferenceOf(logits, 0, 42, c.softmax);
    const double expected = -1024 * expm1(s.log_prob);
    EXPECT_NEAR(RunBackward(c, logits, {}).gradient[42], expected, HalfUlp(dtype, expected) + 1e-5 * expected);
  }
}

TEST(LogProbBackward, ABadRowIsNanAndReported) {
  Case c;
  c.layout = {POLKA_BF16, 2, 5001};
  c.targets = {5001, 3};
  const Logits logits(c.layout, 12);
  Case fine = c;
  fine.targets = {0, 3};
  // What forward saved of the bad row does not matter.
  Gpu gpu;
  polka_log_prob_backward_args a =
      BackwardArgs(c, logits, SavedOf(fine, logits), [&](const auto& v) { return gpu.Input(v, "input"); });
  a.logits.data = gpu.Input(logits.Bytes(), "logits");
  a.d_logits.data = gpu.Output<unsigned char>(BytesOf(a.d_logits), "d_logits");
  gpu.Run(a);
  const std::vector<double> g = Values(a.d_logits, gpu.Fetch<unsigned char>(a.d_logits.data, BytesOf(a.d_logits)));
  EXPECT_EQ(gpu.Findings(), "");
  EXPECT_EQ(gpu.Status(), 5001u);
  for (size_t j = 0; j < 5001; ++j) EXPECT_TRUE(isnan(g[j]) && !isnan(g[5001 + j]));
}

bool Caught(const Case& c, const Logits& logits, Options options, Mistake mistake, int nth = 0) {
  const Backward right = RunBackward(c, logits, options);
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    options.order = order;
    options.mistake = mistake;
    options.nth = nth;
    const Backward wrong = RunBackward(c, logits, options);
    if (wrong.findings != "") return true;
    if (memcmp(wrong.gradient.data(), right.gradient.data(), right.gradient.size() * sizeof(double)) != 0) return true;
  }
  return false;
}

TEST(LogProbBackward, EveryBarrierIsNeededAndItsLossIsCaught) {
  for (const int64_t cols : {1501, 9001, 70001}) {
    Case c;
    c.layout = {POLKA_BF16, 2, cols, 0, 2};
    c.targets = {1, cols - 1};
    c.in_place = true;
    const Logits logits(c.layout, 4);
    for (const Options& options : {Options(), Blocks()}) {
      const emulator::Traffic met = RunBackward(c, logits, options).traffic;
      EXPECT_GT(met.warp_barriers, 0);
      for (int i = 0; i < met.warp_barriers; ++i) {
        EXPECT_TRUE(Caught(c, logits, options, Mistake::kSkipWarpBarrier, i)) << cols << " " << i;
      }
      for (int i = 0; i < met.block_barriers; ++i) {
        EXPECT_TRUE(Caught(c, logits, options, Mistake::kSkipBlockBarrier, i)) << cols << " " << i;
      }
      for (int i = 0; i < met.cluster_barriers; ++i) {
        EXPECT_TRUE(Caught(c, logits, options, Mistake::kSkipClusterBarrier, i)) << cols << " " << i;
      }
    }
  }
}

TEST(LogProbBackward, OneColumnMoreOrLessIsCaught) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {7, 2048, 5001}) {
      Case c;
      c.layout = {dtype, 2, cols};
      c.targets = {0, 1};
      const Logits logits(c.layout, 4, 0.5);
      EXPECT_TRUE(Caught(c, logits, Blocks(), Mistake::kOneColumnMore)) << Name(c);
      EXPECT_TRUE(Caught(c, logits, Blocks(), Mistake::kOneColumnLess)) << Name(c);
    }
  }
}

TEST(LogProbBackward, RowsAreReadAndWrittenInWideVectorsWhateverTheAlignment) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t elements : {0, 1, 3}) {
      Case c;
      c.layout = {dtype, 2, 50257, 0, static_cast<uint64_t>(elements * SizeOf(dtype))};
      c.targets = {5, 50000};
      const Logits logits(c.layout, 4);
      Options options = Blocks();
      EXPECT_LT(RunBackward(c, logits, options).traffic.narrow_bytes, 40000) << Name(c);
      options.mistake = Mistake::kNarrowVectors;
      EXPECT_GT(RunBackward(c, logits, options).traffic.narrow_bytes, 4 * 50257 * SizeOf(dtype)) << Name(c);
    }
  }
}

}  // namespace
}  // namespace polka::cuda::test
