// log_prob's kernels against an f64 reference and the CPU backend, in several thread orders and with
// every strategy; then with one mistake at a time, each of which must be caught.
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

// The ways in which rows are shared out: clusters where rows are few, blocks alone.
Options Clusters() { return {}; }
Options Blocks() {
  Options o;
  o.limits = {80, 108, 163 * 1024, 164 * 1024, 1};
  return o;
}

struct Case {
  Layout layout;
  SoftmaxOptions softmax;
  std::vector<int64_t> targets;
  std::vector<uint8_t> mask;
  bool entropy = false;
  bool everything = false;
};

struct Forward {
  std::vector<float> log_prob, max, log_sum, lse, entropy, sum_p2, mean_logit, self_certainty, finite, top1, top2,
      second;
  std::string findings;
  emulator::Traffic traffic;
  uint64_t status;
};

polka_softmax SoftmaxAt(const SoftmaxOptions& o, uint64_t keep) {
  return {0, keep, o.keep_stride, o.valid_vocab, static_cast<float>(o.temperature), static_cast<float>(o.softcap)};
}

// Every output address, where `out` says.
template <class Place>
void PlaceOutputs(const Case& c, polka_log_prob_forward_args& a, const Place& out) {
  for (uint64_t* field : {&a.log_prob, &a.max, &a.log_sum, &a.lse}) *field = out();
  if (c.entropy || c.everything) a.entropy = out();
  if (!c.everything) return;
  for (uint64_t* field : {&a.sum_p2, &a.mean_logit, &a.self_certainty, &a.finite_columns, &a.top1, &a.top2})
    *field = out();
  if (c.softmax.second_temperature != 0) a.second_log_prob = out();
}

template <class Fetch>
Forward FetchOutputs(const polka_log_prob_forward_args& a, const Fetch& fetch) {
  Forward f;
  f.log_prob = fetch(a.log_prob);
  f.max = fetch(a.max);
  f.log_sum = fetch(a.log_sum);
  f.lse = fetch(a.lse);
  f.entropy = fetch(a.entropy);
  f.sum_p2 = fetch(a.sum_p2);
  f.mean_logit = fetch(a.mean_logit);
  f.self_certainty = fetch(a.self_certainty);
  f.finite = fetch(a.finite_columns);
  f.top1 = fetch(a.top1);
  f.top2 = fetch(a.top2);
  f.second = fetch(a.second_log_prob);
  return f;
}

polka_log_prob_forward_args ForwardArgs(const Case& c) {
  polka_log_prob_forward_args a = {};
  a.struct_size = sizeof a;
  a.second_temperature = static_cast<float>(c.softmax.second_temperature);
  return a;
}

Forward RunForward(const Case& c, const Logits& logits, const Options& options) {
  Gpu gpu(options);
  polka_log_prob_forward_args a = ForwardArgs(c);
  const int64_t rows = c.layout.rows;
  a.logits = logits.MatrixAt(gpu.Input(logits.Bytes(), "logits", c.layout.misalignment));
  a.targets = {gpu.Input(c.targets, "targets"), c.mask.empty() ? 0 : gpu.Input(c.mask, "mask"), -100, POLKA_I64, 0};
  a.softmax = SoftmaxAt(c.softmax, c.softmax.keep.empty() ? 0 : gpu.Input(c.softmax.keep, "keep_mask"));
  PlaceOutputs(c, a, [&] { return gpu.Output<float>(rows, "output"); });
  // Logits of rows that do not count and of padded columns belong to nobody.
  const int64_t size = SizeOf(c.layout.dtype);
  for (int64_t r = 0; r < rows; ++r) {
    const bool skipped =
        c.targets[static_cast<size_t>(r)] == -100 || (!c.mask.empty() && c.mask[static_cast<size_t>(r)] == 0);
    const int64_t valid = skipped ? 0 : c.softmax.valid_vocab == 0 ? c.layout.cols : c.softmax.valid_vocab;
    gpu.Forbid(a.logits.data + static_cast<uint64_t>(logits.Element(r, valid) * size),
               static_cast<uint64_t>((c.layout.cols - valid) * size));
  }
  gpu.Run(a);
  Forward f = FetchOutputs(
      a, [&](uint64_t address) { return address == 0 ? std::vector<float>() : gpu.Fetch<float>(address, rows); });
  f.findings = gpu.Findings();
  f.traffic = gpu.traffic();
  f.status = gpu.Status();
  return f;
}

Forward RunOnCpu(const Case& c, const Logits& logits) {
  polka_log_prob_forward_args a = ForwardArgs(c);
  const std::vector<unsigned char> bytes = logits.Bytes();
  std::deque<std::vector<float>> outputs;
  a.logits = logits.MatrixAt(reinterpret_cast<uint64_t>(bytes.data()));
  a.targets = {reinterpret_cast<uint64_t>(c.targets.data()),
               c.mask.empty() ? 0 : reinterpret_cast<uint64_t>(c.mask.data()), -100, POLKA_I64, 0};
  a.softmax = SoftmaxAt(c.softmax, c.softmax.keep.empty() ? 0 : reinterpret_cast<uint64_t>(c.softmax.keep.data()));
  a.exec.threads = 1;
  PlaceOutputs(c, a, [&] {
    return reinterpret_cast<uint64_t>(outputs.emplace_back(static_cast<size_t>(c.layout.rows)).data());
  });
  EXPECT_EQ(polka_log_prob_forward(&a), POLKA_OK) << polka_last_error();
  return FetchOutputs(a, [&](uint64_t address) {
    const float* p = reinterpret_cast<const float*>(address);
    return address == 0 ? std::vector<float>() : std::vector<float>(p, p + c.layout.rows);
  });
}

// Equal infinities and NaNs, else within `tolerance`.
::testing::AssertionResult Near(double actual, double expected, double tolerance) {
  if (isnan(actual) && isnan(expected)) return ::testing::AssertionSuccess();
  if (actual == expected || fabs(actual - expected) <= tolerance) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << actual << " is not " << expected << " within " << tolerance;
}

void ExpectForward(const Case& c, const Logits& logits, const Forward& actual, const Forward& cpu) {
  const double log_v = std::max(1.0, log(static_cast<double>(c.layout.cols)));
  for (size_t r = 0; r < c.targets.size(); ++r) {
    if (c.targets[r] == -100 || (!c.mask.empty() && c.mask[r] == 0)) {
      EXPECT_EQ(actual.log_prob[r], 0);
      EXPECT_EQ(actual.lse[r], 0);
      continue;
    }
    const SoftmaxReference s = ReferenceOf(logits, static_cast<int64_t>(r), c.targets[r], c.softmax);
    const auto check = [&](const char* name, const std::vector<float>& a, const std::vector<float>& b, double expected,
                           double scale) {
      if (a.empty()) return;
      const double tolerance = 4 * kEpsilon * scale;
      EXPECT_TRUE(Near(a[r], expected, tolerance)) << name << " of row " << r;
      EXPECT_TRUE(Near(a[r], b[r], 2 * tolerance)) << name << " of row " << r << " against the CPU";
    };
    const double size = std::max(1.0, fabs(s.lse));
    check("log_prob", actual.log_prob, cpu.log_prob, s.log_prob, std::max(1.0, fabs(s.log_prob)));
    check("max", actual.max, cpu.max, s.max, fabs(s.max));
    // A softcapped logit is itself rounded, at the size of the largest.
    check("log_sum", actual.log_sum, cpu.log_sum, s.log_sum, c.softmax.softcap == 0 ? std::max(1.0, s.log_sum) : size);
    check("lse", actual.lse, cpu.lse, s.lse, size);
    check("entropy", actual.entropy, cpu.entropy, s.entropy, log_v);
    check("sum_p2", actual.sum_p2, cpu.sum_p2, s.sum_p2, 1);
    check("mean_logit", actual.mean_logit, cpu.mean_logit, s.mean_logit, std::max(1.0, fabs(s.mean_logit)));
    check("self_certainty", actual.self_certainty, cpu.self_certainty, s.self_certainty,
          std::max(log_v, s.self_certainty));
    check("finite_columns", actual.finite, cpu.finite, s.finite, 0);
    check("top1", actual.top1, cpu.top1, s.top1, 1);
    check("top2", actual.top2, cpu.top2, s.top2, 1);
    check("second_log_prob", actual.second, cpu.second, s.second_log_prob, std::max(1.0, fabs(s.second_log_prob)));
  }
}

// The same bits from every thread order and strategy, without a finding; then right numbers.
void CheckForward(const Case& c, const Logits& logits) {
  const Forward first = RunForward(c, logits, Clusters());
  EXPECT_EQ(first.findings, "");
  for (const Options& strategy : {Clusters(), Blocks()}) {
    for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
      Options options = strategy;
      options.order = order;
      const Forward again = RunForward(c, logits, options);
      EXPECT_EQ(again.findings, "");
      const auto same = [&](const std::vector<float>& a, const std::vector<float>& b) {
        return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
      };
      EXPECT_TRUE(same(first.log_prob, again.log_prob) && same(first.log_sum, again.log_sum) &&
                  same(first.entropy, again.entropy) && same(first.self_certainty, again.self_certainty) &&
                  same(first.second, again.second));
    }
  }
  ExpectForward(c, logits, first, RunOnCpu(c, logits));
}

std::vector<int64_t> SpreadTargets(int64_t rows, int64_t cols) {
  std::vector<int64_t> targets;
  for (int64_t r = 0; r < rows; ++r) targets.push_back(r == 0 ? cols - 1 : r == 1 ? 0 : (r * 7919) % cols);
  return targets;
}

std::string Name(const Layout& l) {
  return "dtype " + std::to_string(l.dtype) + " [" + std::to_string(l.rows) + ", " + std::to_string(l.cols) +
         "] misaligned by " + std::to_string(l.misalignment);
}

TEST(LogProbForward, EveryVocabularyAndAlignmentIsRight) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {1, 2, 7, 33, 1000, 1024, 2048, 2049, 4096, 8191, 32000, 50257}) {
      for (const uint64_t elements : {0, 1, 3}) {
        Case c;
        c.layout = {dtype, 3, cols, cols + (elements == 3 ? 5 : 0), elements * static_cast<uint64_t>(SizeOf(dtype))};
        c.targets = SpreadTargets(3, cols);
        SCOPED_TRACE(Name(c.layout));
        CheckForward(c, Logits(c.layout, static_cast<uint32_t>(cols)));
      }
    }
  }
}

TEST(LogProbForward, LargeVocabulariesRunInClusters) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {128256, 262147}) {
      Case c;
      c.layout = {dtype, 1, cols};
      c.targets = {cols / 2};
      c.entropy = true;
      SCOPED_TRACE(Name(c.layout));
      const Logits logits(c.layout, 5);
      CheckForward(c, logits);
      EXPECT_GT(RunForward(c, logits, Clusters()).traffic.cluster_barriers, 1);
      EXPECT_EQ(RunForward(c, logits, Blocks()).traffic.cluster_barriers, 0);
    }
  }
}

TEST(LogProbForward, EveryStatisticIsRight) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {1, 5, 2047, 9001, 40000}) {
      for (const double temperature : {0.7, 1.0, 2.0}) {
        Case c;
        c.layout = {dtype, 2, cols};
        c.softmax.temperature = static_cast<float>(temperature);
        c.softmax.second_temperature = 1.5;
        c.targets = SpreadTargets(2, cols);
        c.everything = true;
        SCOPED_TRACE(Name(c.layout));
        CheckForward(c, Logits(c.layout, 11));
      }
    }
  }
}

TEST(LogProbForward, SoftcapKeepMaskAndPaddedColumns) {
  for (const int32_t dtype : kTypes) {
    Case c;
    c.layout = {dtype, 4, 5003, 5010, 2 * static_cast<uint64_t>(SizeOf(dtype))};
    c.softmax.softcap = 30;
    c.softmax.valid_vocab = 4999;
    c.softmax.keep_stride = 630;
    std::mt19937 random(3);
    for (int i = 0; i < 4 * 630; ++i) c.softmax.keep.push_back(static_cast<uint8_t>(random()));
    c.targets = {4998, 0, 77, 2048};
    c.entropy = true;
    c.everything = true;
    CheckForward(c, Logits(c.layout, 2, 20));
  }
}

TEST(LogProbForward, SkippedRowsAreZeroAndTheirLogitsAreNotRead) {
  Case c;
  c.layout = {POLKA_BF16, 5, 3000};
  c.targets = {5, -100, 2999, 7, 1};
  c.mask = {1, 1, 0, 1, 0};
  CheckForward(c, Logits(c.layout, 4));
}

TEST(LogProbForward, RowsInTwoLevels) {
  Case c;
  c.layout = {POLKA_F16, 6, 2500, 2501, 2, 2, 9001};
  c.targets = SpreadTargets(6, 2500);
  CheckForward(c, Logits(c.layout, 9));
}

TEST(LogProbForward, InfinitiesAndNanStayInTheirRow) {
  for (const int32_t dtype : kTypes)
    for (const double softcap : {0.0, 30.0}) {
      Case c;
      c.softmax.softcap = softcap;
      c.layout = {dtype, 7, 10007};
      c.targets = {3, 9000, 10006, 0, 5, 6, 7};
      c.everything = true;
      Logits logits(c.layout, 8);
      for (int64_t j = 0; j < 5000; ++j) logits.At(0, j) = j == 3 ? 0 : -INFINITY;      // leading tiles
      for (int64_t j = 0; j < 10007; ++j) logits.At(1, j) = j == 9000 ? 1 : -INFINITY;  // all but the target
      for (int64_t j = 0; j < 10007; ++j) logits.At(2, j) = -INFINITY;
      logits.At(3, 7777) = NAN;
      logits.At(4, 9999) = INFINITY;
      logits.At(5, 6) = -INFINITY;  // the target
      const Forward f = RunForward(c, logits, Clusters());
      EXPECT_EQ(f.findings, "");
      const Forward cpu = RunOnCpu(c, logits);
      EXPECT_EQ(f.log_prob[1], 0);
      EXPECT_EQ(f.log_prob[5], -INFINITY);
      for (const size_t r : {2u, 3u, 4u}) EXPECT_TRUE(isnan(f.log_prob[r])) << r;
      for (const size_t r : {0u, 1u, 6u}) {
        const SoftmaxReference s = ReferenceOf(logits, static_cast<int64_t>(r), c.targets[r], c.softmax);
        EXPECT_TRUE(Near(f.log_prob[r], s.log_prob, 4 * kEpsilon * std::max({1.0, fabs(s.log_prob), softcap}))) << r;
        EXPECT_TRUE(Near(f.entropy[r], s.entropy, 4 * kEpsilon * 10)) << r;
      }
      for (size_t r = 0; r < 7; ++r) {
        EXPECT_EQ(isnan(f.self_certainty[r]), isnan(cpu.self_certainty[r])) << r;
        EXPECT_EQ(f.finite[r], cpu.finite[r]) << r;
      }
    }
}

TEST(LogProbForward, ConfidentTargetsAndCommonOffsetsKeepTheirDigits) {
  for (const double offset : {0.0, 100.0, -10000.0, 10000.0}) {
    Case c;
    c.layout = {POLKA_F32, 4, 6000};
    c.targets = {17, 17, 17, 17};
    c.softmax.temperature = 1;
    Logits logits(c.layout, 21, 0.01, offset);
    // 1 - p = 1e-4 .. 1e-7
    for (int64_t r = 0; r < 4; ++r) logits.Set(r, 17, offset + log(5999) + log(10) * static_cast<double>(4 + r));
    const Forward f = RunForward(c, logits, Clusters());
    for (size_t r = 0; r < 4; ++r) {
      const double expected = ReferenceOf(logits, static_cast<int64_t>(r), 17, c.softmax).log_prob;
      EXPECT_TRUE(Near(f.log_prob[r], expected, 2e-6 * fabs(expected))) << offset << " " << r;
    }
  }
}

TEST(LogProbForward, BadRowsAreReportedNotRead) {
  Case c;
  c.layout = {POLKA_F32, 4, 3000};
  c.targets = {5, 3000, -7, 8};
  const Logits logits(c.layout, 4);
  for (const Order order : {Order::kForward, Order::kReverse}) {
    Options options;
    options.order = order;
    const Forward f = RunForward(c, logits, options);
    EXPECT_EQ(f.findings, "");
    EXPECT_EQ(f.status, (uint64_t{1} << 35) | 3000u);  // the lowest bad row and its target
    EXPECT_TRUE(isnan(f.log_prob[1]) && isnan(f.log_prob[2]));
    EXPECT_FALSE(isnan(f.log_prob[0]) || isnan(f.log_prob[3]));
  }
}

// Whether a run with the mistake shows: a finding, or other numbers than without it.
bool ForwardCaught(const Case& c, const Logits& logits, Options options, Mistake mistake, int nth = 0) {
  const Forward right = RunForward(c, logits, options);
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    options.order = order;
    options.mistake = mistake;
    options.nth = nth;
    const Forward wrong = RunForward(c, logits, options);
    if (wrong.findings != "") return true;
    if (memcmp(wrong.lse.data(), right.lse.data(), right.lse.size() * sizeof(float)) != 0) return true;
  }
  return false;
}

TEST(LogProbForward, EveryBarrierIsNeededAndItsLossIsCaught) {
  for (const int64_t cols : {1500, 9000, 128256}) {
    Case c;
    c.layout = {POLKA_F32, 2, cols};
    c.targets = {1, cols - 1};
    c.entropy = true;
    const Logits logits(c.layout, 4);
    for (const Options& options : {Clusters(), Blocks()}) {
      const emulator::Traffic met = RunForward(c, logits, options).traffic;
      EXPECT_GT(met.warp_barriers + met.block_barriers + met.cluster_barriers, 0);
      for (int i = 0; i < met.warp_barriers; ++i) {
        EXPECT_TRUE(ForwardCaught(c, logits, options, Mistake::kSkipWarpBarrier, i)) << cols << " " << i;
      }
      for (int i = 0; i < met.block_barriers; ++i) {
        EXPECT_TRUE(ForwardCaught(c, logits, options, Mistake::kSkipBlockBarrier, i)) << cols << " " << i;
      }
      for (int i = 0; i < met.cluster_barriers; ++i) {
        EXPECT_TRUE(ForwardCaught(c, logits, options, Mistake::kSkipClusterBarrier, i)) << cols << " " << i;
      }
    }
  }
}

TEST(LogProbForward, OneColumnMoreOrLessIsCaught) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {7, 2048, 5001}) {
      Case c;
      c.layout = {dtype, 2, cols};
      c.targets = {0, 1};
      const Logits logits(c.layout, 4, 0.5);
      EXPECT_TRUE(ForwardCaught(c, logits, Blocks(), Mistake::kOneColumnMore)) << Name(c.layout);
      EXPECT_TRUE(ForwardCaught(c, logits, Blocks(), Mistake::kOneColumnLess)) << Name(c.layout);
    }
  }
}

TEST(LogProbForward, LogitsAreReadOnceInWideVectorsWhateverTheAlignment) {
  for (const int32_t dtype : kTypes) {
    for (const uint64_t elements : {0, 1, 3}) {
      Case c;
      c.layout = {dtype, 2, 50257, 50257, elements * static_cast<uint64_t>(SizeOf(dtype))};
      c.targets = {5, 50000};
      const Logits logits(c.layout, 4);
      const auto narrow = [&](Mistake mistake) {
        Options options = Blocks();
        options.mistake = mistake;
        return RunForward(c, logits, options).traffic.narrow_bytes;
      };
      // Edges of rows, targets, outputs; the mistake shows as a whole row.
      EXPECT_LT(narrow(Mistake::kNone), 20000) << Name(c.layout);
      EXPECT_GT(narrow(Mistake::kNarrowVectors), 2 * 50257 * SizeOf(dtype)) << Name(c.layout);
    }
  }
}

}  // namespace
}  // namespace polka::cuda::test
