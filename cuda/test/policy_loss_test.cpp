// policy_loss's kernels against the CPU backend and an f64 reference: every strategy, type, alignment
// and ratio, in several thread orders; then with one mistake at a time.
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

// A device without clusters; and one whose shared memory holds no row.
Options Blocks() {
  Options o;
  o.limits = {80, 108, 163 * 1024, 164 * 1024, 1};
  return o;
}
Options OffChip() {
  Options o;
  o.limits = {80, 108, 12 * 1024, 12 * 1024, 1};
  return o;
}

polka_policy_objective GrpoObjective() {
  polka_policy_objective o = {};
  o.kl_coefficient = 0.001;
  o.kl_estimator = POLKA_KL_K3;
  o.clip_low = 0.2f;
  o.clip_high = 0.28f;
  o.dual_clip = 3;
  o.max_log_ratio = o.sequence_max_log_ratio = 20;
  o.k3_max = INFINITY;
  return o;
}

struct Case {
  Layout layout;
  SoftmaxOptions softmax;
  polka_policy_objective objective = GrpoObjective();
  bool in_place = false, widened = false, gradient = true, by_sequence_tokens = false;
  float scale = 16;
  double summed = 1;  // log-probs whose errors add up in a gradient
  double terms = 0;   // size of single terms that may cancel each other in the upstream gradient
  std::vector<int64_t> targets, offsets, sequence_tokens;
  std::vector<uint8_t> mask;
  std::vector<float> old, ref, advantages, weights;
};

// Tokens near what the logits say, some of them masked or ignored.
Case MakeCase(const Layout& layout, const Logits& logits, uint32_t seed) {
  Case c;
  c.layout = layout;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, 0.3f);
  const int64_t rows = layout.rows;
  for (int64_t r = 0; r < rows; ++r) {
    c.targets.push_back(r % 5 == 3 ? -100 : r == 0 ? layout.cols - 1 : static_cast<int64_t>(random()) % layout.cols);
    c.mask.push_back(r % 7 != 4);
    const int64_t target = c.targets.back() < 0 ? 0 : c.targets.back();
    const float lp = static_cast<float>(ReferenceOf(logits, r, target, c.softmax).log_prob);
    c.old.push_back(lp + normal(random));
    c.ref.push_back(lp + normal(random));
    c.advantages.push_back(normal(random) * 3);
    c.weights.push_back(1 + normal(random) * 0.1f);
  }
  c.offsets = {0, rows / 3, rows / 3, rows};  // one of them empty
  c.sequence_tokens = {3, 1, 5};
  return c;
}

struct Result {
  std::vector<float> log_prob, entropy;
  std::vector<double> metrics, gradient;
  std::string findings;
  emulator::Traffic traffic;
};

int64_t Element(const polka_matrix& m, int64_t r, int64_t j) { return r * m.row_stride + j; }
int64_t BytesOf(const polka_matrix& m) { return (Element(m, m.rows - 1, m.cols - 1) + 1) * SizeOf(m.dtype); }

std::vector<double> Values(const polka_matrix& m, const std::vector<unsigned char>& bytes) {
  std::vector<double> values;
  for (int64_t r = 0; r < m.rows; ++r) {
    for (int64_t j = 0; j < m.cols; ++j) values.push_back(ElementAt(bytes, m.dtype, Element(m, r, j)));
  }
  return values;
}

// Everything but logits, gradient and outputs; `place(vector)` gives an address.
template <class Place>
polka_policy_loss_args ArgsOf(const Case& c, const Logits& logits, const Place& place) {
  polka_policy_loss_args a = {};
  a.struct_size = sizeof a;
  a.logits = logits.MatrixAt(0);
  a.targets = {place(c.targets), c.mask.empty() ? 0 : place(c.mask), -100, POLKA_I64, 0};
  a.softmax = {0,
               c.softmax.keep.empty() ? 0 : place(c.softmax.keep),
               c.softmax.keep_stride,
               c.softmax.valid_vocab,
               static_cast<float>(c.softmax.temperature),
               static_cast<float>(c.softmax.softcap)};
  a.batch.sequences = static_cast<int64_t>(c.offsets.size()) - 1;
  a.batch.offsets = place(c.offsets);
  a.batch.old_log_prob = c.old.empty() ? 0 : place(c.old);
  a.batch.ref_log_prob = place(c.ref);
  a.batch.advantages = place(c.advantages);
  a.batch.weights = place(c.weights);
  a.objective = c.objective;
  a.normalizer = {7, c.by_sequence_tokens ? place(c.sequence_tokens) : 0};
  a.entropy_normalizer = {5, 0};
  a.nll_normalizer = {3, 0};
  a.gradient_scale = c.scale;
  if (c.gradient) {
    a.d_logits = a.logits;
    a.d_logits.dtype = c.widened ? POLKA_F32 : c.layout.dtype;
  }
  return a;
}

Result RunLoss(const Case& c, const Logits& logits, const Options& options) {
  Gpu gpu(options);
  polka_policy_loss_args a = ArgsOf(c, logits, [&](const auto& v) { return gpu.Input(v, "input"); });
  const int64_t rows = c.layout.rows;
  if (c.in_place) {
    a.logits.data = a.d_logits.data = gpu.InOut(logits.Bytes(), "logits", c.layout.misalignment);
  } else {
    a.logits.data = gpu.Input(logits.Bytes(), "logits", c.layout.misalignment);
    const uint64_t misalignment = c.widened ? 4 : c.layout.misalignment;
    if (c.gradient) a.d_logits.data = gpu.Output<unsigned char>(BytesOf(a.d_logits), "d_logits", misalignment);
  }
  a.log_prob = gpu.Output<float>(rows, "log_prob");
  a.entropy = gpu.Output<float>(rows, "entropy");
  a.metrics = gpu.Output<double>(kMetricFields, "metrics");
  gpu.Run(a);
  Result result;
  result.log_prob = gpu.Fetch<float>(a.log_prob, rows);
  result.entropy = gpu.Fetch<float>(a.entropy, rows);
  result.metrics = gpu.Fetch<double>(a.metrics, kMetricFields);
  if (c.gradient) result.gradient = Values(a.d_logits, gpu.Fetch<unsigned char>(a.d_logits.data, BytesOf(a.d_logits)));
  result.findings = gpu.Findings();
  result.traffic = gpu.traffic();
  return result;
}

Result RunOnCpu(const Case& c, const Logits& logits) {
  std::deque<std::vector<unsigned char>> arrays;
  const auto address = [&](uint64_t bytes) {
    return reinterpret_cast<uint64_t>(arrays.emplace_back(static_cast<size_t>(bytes) + 64).data()) / 64 * 64 + 64;
  };
  polka_policy_loss_args a = ArgsOf(c, logits, [&](const auto& v) {
    const uint64_t p = address(v.size() * sizeof v[0] + 64);
    memcpy(reinterpret_cast<void*>(p), v.data(), v.size() * sizeof v[0]);
    return p;
  });
  const int64_t rows = c.layout.rows;
  const std::vector<unsigned char> bytes = logits.Bytes();
  a.logits.data = address(bytes.size() + 64);
  memcpy(reinterpret_cast<void*>(a.logits.data), bytes.data(), bytes.size());
  if (c.gradient)
    a.d_logits.data = c.in_place ? a.logits.data : address(static_cast<uint64_t>(BytesOf(a.d_logits)) + 64);
  a.log_prob = address(static_cast<uint64_t>(rows * 4) + 64);
  a.entropy = address(static_cast<uint64_t>(rows * 4) + 64);
  a.metrics = address(sizeof(polka_policy_loss_metrics) + 64);
  a.exec.threads = 1;
  EXPECT_EQ(polka_policy_loss_workspace(&a), POLKA_OK) << polka_last_error();
  a.exec.workspace_bytes = a.exec.workspace_needed;
  a.exec.workspace = address(static_cast<uint64_t>(a.exec.workspace_needed) + 64);
  EXPECT_EQ(polka_policy_loss(&a), POLKA_OK) << polka_last_error();
  Result result;
  const auto floats = [&](uint64_t p) {
    const float* f = reinterpret_cast<const float*>(p);
    return std::vector<float>(f, f + rows);
  };
  result.log_prob = floats(a.log_prob);
  result.entropy = floats(a.entropy);
  const double* m = reinterpret_cast<const double*>(a.metrics);
  result.metrics.assign(m, m + kMetricFields);
  if (c.gradient) {
    const unsigned char* g = reinterpret_cast<const unsigned char*>(a.d_logits.data);
    result.gradient = Values(a.d_logits, std::vector<unsigned char>(g, g + BytesOf(a.d_logits)));
  }
  return result;
}

bool Same(const Result& a, const Result& b) {
  const auto same = [](const auto& x, const auto& y) {
    return x.size() == y.size() && (x.empty() || memcmp(x.data(), y.data(), x.size() * sizeof x[0]) == 0);
  };
  return same(a.log_prob, b.log_prob) && same(a.entropy, b.entropy) && same(a.metrics, b.metrics) &&
         same(a.gradient, b.gradient);
}

// d loss / d log-prob of each row in f64: the token formulas at the reference's log-probs.
std::vector<double> ReferenceUpstream(const Case& c, const Logits& logits) {
  const size_t rows = c.targets.size();
  std::vector<double> upstream(rows), log_prob(rows);
  const auto counted = [&](size_t r) { return c.targets[r] != -100 && (c.mask.empty() || c.mask[r] != 0); };
  for (size_t r = 0; r < rows; ++r) {
    if (counted(r)) log_prob[r] = ReferenceOf(logits, static_cast<int64_t>(r), c.targets[r], c.softmax).log_prob;
  }
  for (size_t s = 0; s + 1 < c.offsets.size(); ++s) {
    const TokenWeights n = {TokenWeight(7, c.by_sequence_tokens ? c.sequence_tokens[s] : 1), TokenWeight(5, 1),
                            TokenWeight(3, 1)};
    const auto each = [&](const auto& body) {
      for (size_t r = static_cast<size_t>(c.offsets[s]); r < static_cast<size_t>(c.offsets[s + 1]); ++r) {
        if (!counted(r)) continue;
        TokenInputs<double> t = {};
        t.log_prob = log_prob[r];
        t.old_log_prob = t.behaviour_log_prob = c.old.empty() ? log_prob[r] : c.old[r];
        t.ref_log_prob = c.ref[r];
        t.advantage = c.advantages[r];
        t.importance = c.weights[r];
        t.anchor_weight = 1;
        t.nll_weight = DefaultNllWeight(t.advantage);
        t.entropy = ReferenceOf(logits, static_cast<int64_t>(r), c.targets[r], c.softmax).entropy;
        body(r, JudgeToken(c.objective, t));
      }
    };
    SequenceSums sums = {};
    each([&](size_t, const TokenInputs<double>& t) { AddToSequence(c.objective, sums, t); });
    if (sums.tokens == 0) continue;
    SequenceState state = FinishSequence(c.objective, sums);
    double through_mean = 0;
    each([&](size_t, const TokenInputs<double>& t) {
      through_mean += RatioGradient(MakeTerms(c.objective, t, state), n);
    });
    state.d_log_prob = through_mean / static_cast<double>(sums.tokens);
    each([&](size_t r, const TokenInputs<double>& t) {
      upstream[r] = c.scale * LogProbGradient(c.objective, MakeTerms(c.objective, t, state), n, state.d_log_prob);
    });
  }
  return upstream;
}

void Check(const Case& c, const Logits& logits, const Options& options) {
  const Result first = RunLoss(c, logits, options);
  EXPECT_EQ(first.findings, "");
  for (const Order order : {Order::kReverse, Order::kRandom}) {
    Options other = options;
    other.order = order;
    const Result again = RunLoss(c, logits, other);
    EXPECT_EQ(again.findings, "");
    EXPECT_TRUE(Same(first, again));
  }
  const Result cpu = RunOnCpu(c, logits);
  for (size_t i = 0; i < kMetricFields; ++i) {
    EXPECT_NEAR(first.metrics[i], cpu.metrics[i], 1e-5 * std::max(1.0, fabs(cpu.metrics[i]))) << "metric " << i;
  }
  const double log_v = std::max(1.0, log(static_cast<double>(c.layout.cols)));
  const std::vector<double> upstream = ReferenceUpstream(c, logits);
  const int64_t valid = c.softmax.valid_vocab == 0 ? c.layout.cols : c.softmax.valid_vocab;
  const int32_t dtype = c.widened ? POLKA_F32 : c.layout.dtype;
  const double d_entropy = -c.scale * c.objective.entropy_coefficient / 5;
  int wrong = 0;
  for (int64_t r = 0; r < c.layout.rows; ++r) {
    const size_t i = static_cast<size_t>(r);
    const bool counted = c.targets[i] != -100 && (c.mask.empty() || c.mask[i] != 0);
    if (!counted) {
      EXPECT_EQ(first.log_prob[i], 0);
      EXPECT_EQ(first.entropy[i], 0);
    }
    const SoftmaxReference s = ReferenceOf(logits, r, counted ? c.targets[i] : 0, c.softmax);
    if (counted) {
      EXPECT_NEAR(first.log_prob[i], s.log_prob, 4 * kEpsilon * std::max(1.0, fabs(s.log_prob)));
      EXPECT_NEAR(first.entropy[i], s.entropy, 4 * kEpsilon * log_v);
    }
    // The upstream gradient is itself computed in f32 from an f32 log-prob.
    const double size = (fabs(upstream[i]) + c.terms) * (1 + fabs(s.log_prob)) + fabs(d_entropy) * log_v;
    const double tolerance = 8 * kEpsilon * size * c.summed / c.softmax.temperature;
    for (int64_t j = 0; c.gradient && j < c.layout.cols; ++j) {
      const size_t k = static_cast<size_t>(r * c.layout.cols + j);
      const double expected =
          counted && j < valid ? ReferenceGradient(s, logits, r, j, c.softmax, upstream[i], d_entropy, 0) : 0;
      const double half = HalfUlp(dtype, expected);
      const bool good = fabs(first.gradient[k] - expected) <= tolerance + half &&
                        fabs(first.gradient[k] - cpu.gradient[k]) <= 2 * tolerance + 2 * half;
      if (!good && ++wrong <= 5) {
        ADD_FAILURE() << "row " << r << " column " << j << ": " << first.gradient[k] << ", reference " << expected
                      << ", CPU " << cpu.gradient[k] << ", tolerance " << tolerance + half;
      }
    }
  }
  EXPECT_EQ(wrong, 0);
}

std::string Name(const Case& c) {
  return "dtype " + std::to_string(c.layout.dtype) + " columns " + std::to_string(c.layout.cols) + " misaligned by " +
         std::to_string(c.layout.misalignment) +
         (c.in_place  ? " in place"
          : c.widened ? " widened"
                      : "") +
         (c.objective.ratio_level == POLKA_RATIO_SEQUENCE ? " sequence" : " token");
}

TEST(PolicyLoss, EveryVocabularyTypeAndStrategyIsRight) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {1, 9, 2048, 2049, 8191, 50257}) {
      const int64_t rows = cols > 10000 ? 3 : 11;
      for (const int64_t elements : {0, 1}) {
        const Layout layout = {dtype, rows, cols, 0, static_cast<uint64_t>(elements * SizeOf(dtype))};
        const Logits logits(layout, static_cast<uint32_t>(cols));
        Case c = MakeCase(layout, logits, 3);
        for (const bool in_place : {false, true}) {
          c.in_place = in_place;
          c.objective.entropy_coefficient = in_place ? 0.01 : 0;
          SCOPED_TRACE(Name(c));
          for (const Options& options : {Options(), Blocks(), OffChip()}) Check(c, logits, options);
        }
      }
    }
  }
}

TEST(PolicyLoss, EveryStrategyGivesTheLogProbsOfLogProb) {
  for (const int64_t cols : {3000, 50257, 128256}) {
    const Layout layout = {POLKA_BF16, 2, cols};
    const Logits logits(layout, 7);
    Case c = MakeCase(layout, logits, 3);
    c.mask.clear();
    const Result first = RunLoss(c, logits, {});
    EXPECT_EQ(first.findings, "");
    for (const Options& options : {Blocks(), OffChip()}) EXPECT_TRUE(Same(first, RunLoss(c, logits, options)));
    Gpu gpu;
    polka_log_prob_forward_args a = {};
    a.logits = logits.MatrixAt(gpu.Input(logits.Bytes(), "logits"));
    a.targets = {gpu.Input(c.targets, "targets"), 0, -100, POLKA_I64, 0};
    a.softmax = {0, 0, 0, 0, 1, 0};
    a.log_prob = gpu.Output<float>(2, "log_prob");
    gpu.Run(a);
    EXPECT_EQ(memcmp(gpu.Fetch<float>(a.log_prob, 2).data(), first.log_prob.data(), 8), 0);
    // So the ratio to one's own log-probs is exactly 1, and nothing is clipped.
    c.old = first.log_prob;
    const Result again = RunLoss(c, logits, {});
    EXPECT_EQ(again.metrics[16], 1);  // ratio_min
    EXPECT_EQ(again.metrics[17], 1);  // ratio_max
    EXPECT_EQ(again.metrics[6], 0);   // clipped_sum
  }
}

TEST(PolicyLoss, SequenceRatiosInTwoLaunches) {
  for (const int32_t dtype : kTypes) {
    for (const int32_t gradient : {POLKA_SEQUENCE_TOKEN_DETACHED, POLKA_SEQUENCE_THROUGH_MEAN}) {
      const Layout layout = {dtype, 40, 1003};
      const Logits logits(layout, 31);
      Case c = MakeCase(layout, logits, 5);
      c.objective.ratio_level = POLKA_RATIO_SEQUENCE;
      c.objective.sequence_gradient = gradient;
      c.objective.entropy_coefficient = 0.02;
      c.by_sequence_tokens = true;
      for (const bool in_place : {false, true}) {
        c.in_place = in_place;
        SCOPED_TRACE(Name(c));
        Check(c, logits, {});
      }
    }
  }
}

// With a penalty towards the old policy, a likelihood term and the masks by entropy and by drift.
TEST(PolicyLoss, EveryKindOfObjective) {
  for (int32_t kind = POLKA_OBJECTIVE_CLIP; kind <= POLKA_OBJECTIVE_REGRESSION; ++kind) {
    for (const bool masked : {false, true}) {
      const Layout layout = {POLKA_F32, 60, 331};
      const Logits logits(layout, 31);
      Case c = MakeCase(layout, logits, static_cast<uint32_t>(kind));
      polka_policy_objective& o = c.objective;
      o.kind = kind;
      o.dual_clip = 0;
      o.tau_positive = o.rate_positive = o.shape_negative = 2;
      o.tau_negative = o.rate_negative = o.shape_positive = 3;
      o.trust_low = o.trust_high = 0.003f;
      o.regression_scale = 0.5f;
      o.surrogate_max = masked ? 1.1f : 0;
      o.ratio_level = kind >= POLKA_OBJECTIVE_GMPO ? POLKA_RATIO_SEQUENCE : POLKA_RATIO_TOKEN;
      o.anchor_estimator = POLKA_KL_K2;
      o.anchor_coefficient = 0.3;
      o.nll_coefficient = 0.1;
      o.off_policy_max = masked ? 0.01f : 0;
      o.entropy_threshold = masked ? 4 : 0;
      c.summed = kind == POLKA_OBJECTIVE_VESPO ? 40 : 1;  // the tokens of the longer sequence
      c.terms = c.scale * (0.3 / 7 + 0.1 / 3);
      SCOPED_TRACE("kind " + std::to_string(kind) + (masked ? " masked" : ""));
      Check(c, logits, {});
    }
  }
}

TEST(PolicyLoss, SoftcapKeepMaskPaddingWideGradientAndTemperature) {
  for (const int32_t dtype : kTypes) {
    const Layout layout = {dtype, 6, 4100, 4101, static_cast<uint64_t>(SizeOf(dtype))};
    const Logits logits(layout, 31);
    Case c = MakeCase(layout, logits, 5);
    for (int64_t& t : c.targets) t = t >= 4096 ? 4095 : t;
    c.softmax.softcap = 12;
    c.softmax.valid_vocab = 4096;
    c.softmax.temperature = 0.75;
    c.softmax.keep_stride = 513;
    std::mt19937 random(3);
    for (int i = 0; i < 6 * 513; ++i) c.softmax.keep.push_back(static_cast<uint8_t>(random()));
    for (size_t r = 0; r < 6; ++r) {
      const int64_t t = c.targets[r] < 0 ? 0 : c.targets[r];
      c.old[r] = static_cast<float>(ReferenceOf(logits, static_cast<int64_t>(r), t, c.softmax).log_prob) + 0.1f;
      c.ref[r] = c.old[r] - 0.3f;
    }
    c.objective.entropy_coefficient = 0.01;
    c.widened = dtype != POLKA_F32;
    SCOPED_TRACE(Name(c));
    Check(c, logits, {});
  }
}

TEST(PolicyLoss, WithoutGradientWithoutOldAndWithManyRows) {
  const Layout layout = {POLKA_F32, 700, 130};
  const Logits logits(layout, 8);
  Case c = MakeCase(layout, logits, 9);
  c.old.clear();
  Check(c, logits, {});
  c.gradient = false;
  Check(c, logits, {});
}

TEST(PolicyLoss, NonFiniteRowsPoisonTheLossOrAreSkipped) {
  const Layout layout = {POLKA_F32, 9, 3000};
  Logits logits(layout, 8);
  Case c = MakeCase(layout, logits, 9);
  c.mask.clear();
  logits.At(2, 100) = NAN;
  c.advantages[5] = INFINITY;
  for (const Options& options : {Options(), OffChip()}) {
    c.objective.skip_non_finite = 0;
    const Result poisoned = RunLoss(c, logits, options);
    EXPECT_EQ(poisoned.findings, "");
    EXPECT_TRUE(isnan(poisoned.metrics[0]));
    EXPECT_EQ(poisoned.metrics[18], 2);  // non_finite_rows
    EXPECT_EQ(poisoned.metrics[19], 2);  // first_non_finite_row
    for (size_t j = 0; j < 3000; ++j) {
      EXPECT_TRUE(isnan(poisoned.gradient[2 * 3000 + j]) && isnan(poisoned.gradient[5 * 3000 + j]));
      EXPECT_FALSE(isnan(poisoned.gradient[6 * 3000 + j]));
    }
    c.objective.skip_non_finite = 1;
    const Result skipped = RunLoss(c, logits, options);
    EXPECT_TRUE(isfinite(skipped.metrics[0]));
    for (size_t j = 0; j < 3000; ++j) EXPECT_EQ(skipped.gradient[2 * 3000 + j], 0);
  }
}

TEST(PolicyLoss, BadTargetsAndOffsetsAreReported) {
  const Layout layout = {POLKA_F32, 9, 3000};
  const Logits logits(layout, 8);
  Case c = MakeCase(layout, logits, 9);
  c.targets[6] = 3000;
  c.mask.clear();
  const auto status = [&] {
    Gpu gpu;
    polka_policy_loss_args a = ArgsOf(c, logits, [&](const auto& v) { return gpu.Input(v, "input"); });
    a.logits.data = gpu.Input(logits.Bytes(), "logits");
    a.d_logits.data = gpu.Output<unsigned char>(BytesOf(a.d_logits), "d_logits");
    a.metrics = gpu.Output<double>(kMetricFields, "metrics");
    gpu.Run(a);
    EXPECT_EQ(gpu.Findings(), "");
    return gpu.Status();
  };
  EXPECT_EQ(status(), (uint64_t{6} << 35) | 3000u);
  c.offsets = {0, 20, 2, 9};
  EXPECT_EQ(status(), (uint64_t{1} << 35) | (uint64_t{2} << 32));
}

TEST(PolicyLoss, FromLogProbsMatchesTheCpu) {
  const int64_t rows = 1500;
  const Layout layout = {POLKA_F32, rows, 5};
  const Logits logits(layout, 8);
  Case c = MakeCase(layout, logits, 9);
  c.offsets = {0, 7, 7, 900, 1500};
  c.objective.entropy_coefficient = 0.1;
  std::vector<float> log_prob, entropy(rows, 0.7f);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) log_prob.push_back(c.old[r] + (r % 3 == 0 ? 0.5f : -0.01f));
  for (const int32_t level : {POLKA_RATIO_TOKEN, POLKA_RATIO_SEQUENCE}) {
    c.objective.ratio_level = level;
    Gpu gpu;
    polka_policy_loss_args a = ArgsOf(c, logits, [&](const auto& v) { return gpu.Input(v, "input"); });
    a.log_prob = gpu.Input(log_prob, "log_prob");
    a.entropy = gpu.Input(entropy, "entropy");
    a.d_log_prob = gpu.Output<float>(rows, "d_log_prob");
    a.d_entropy = gpu.Output<float>(rows, "d_entropy");
    a.metrics = gpu.Output<double>(kMetricFields, "metrics");
    gpu.RunFromLogProb(a);
    EXPECT_EQ(gpu.Findings(), "");
    const std::vector<float> d = gpu.Fetch<float>(a.d_log_prob, rows);
    const std::vector<double> m = gpu.Fetch<double>(a.metrics, kMetricFields);

    // The emulator's memory is the CPU's.
    std::vector<float> cpu_d(static_cast<size_t>(rows)), cpu_e(static_cast<size_t>(rows));
    std::vector<double> cpu_m(kMetricFields);
    a.d_log_prob = reinterpret_cast<uint64_t>(cpu_d.data());
    a.d_entropy = reinterpret_cast<uint64_t>(cpu_e.data());
    a.metrics = reinterpret_cast<uint64_t>(cpu_m.data());
    ASSERT_EQ(polka_policy_loss_from_log_prob_workspace(&a), POLKA_OK);
    std::vector<double> scratch(static_cast<size_t>(a.exec.workspace_needed) / 8 + 16);
    a.exec.workspace = (reinterpret_cast<uint64_t>(scratch.data()) + 63) / 64 * 64;
    a.exec.workspace_bytes = a.exec.workspace_needed;
    ASSERT_EQ(polka_policy_loss_from_log_prob(&a), POLKA_OK) << polka_last_error();
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) EXPECT_NEAR(d[r], cpu_d[r], 1e-6 * fabs(cpu_d[r])) << r;
    for (size_t i = 0; i < kMetricFields; ++i) EXPECT_NEAR(m[i], cpu_m[i], 1e-12 * fabs(cpu_m[i])) << i;
  }
}

bool Caught(const Case& c, const Logits& logits, Options options, Mistake mistake, int nth = 0) {
  const Result right = RunLoss(c, logits, options);
  for (const Order order : {Order::kForward, Order::kReverse, Order::kRandom}) {
    options.order = order;
    options.mistake = mistake;
    options.nth = nth;
    const Result wrong = RunLoss(c, logits, options);
    if (wrong.findings != "" || !Same(right, wrong)) return true;
  }
  return false;
}

TEST(PolicyLoss, EveryBarrierAndWaitIsNeededAndItsLossIsCaught) {
  for (const int64_t cols : {1501, 9000, 9001, 200001}) {
    const Layout layout = {POLKA_BF16, 1, cols, 0, cols % 2 == 0 ? 0u : 2u};
    const Logits logits(layout, 8);
    Case c = MakeCase(layout, logits, 9);
    c.mask.clear();
    c.in_place = true;
    for (const Options& options : {Options(), Blocks(), OffChip()}) {
      const emulator::Traffic met = RunLoss(c, logits, options).traffic;
      EXPECT_GT(met.warp_barriers + met.block_barriers + met.cluster_barriers, 0);
      const auto every = [&](Mistake mistake, int count, const char* name) {
        for (int i = 0; i < count; ++i) EXPECT_TRUE(Caught(c, logits, options, mistake, i)) << name << i << " " << cols;
      };
      every(Mistake::kSkipWarpBarrier, met.warp_barriers, "warp barrier ");
      every(Mistake::kSkipBlockBarrier, met.block_barriers, "block barrier ");
      every(Mistake::kSkipClusterBarrier, met.cluster_barriers, "cluster barrier ");
      every(Mistake::kSkipCopyWait, met.copy_waits, "wait for a copy ");
    }
  }
}

TEST(PolicyLoss, OneColumnMoreOrLessIsCaught) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t cols : {7, 2048, 5001}) {
      const Layout layout = {dtype, 2, cols};
      const Logits logits(layout, 8, 0.5);
      Case c = MakeCase(layout, logits, 9);
      for (const Options& options : {Options(), OffChip()}) {
        EXPECT_TRUE(Caught(c, logits, options, Mistake::kOneColumnMore)) << Name(c);
        EXPECT_TRUE(Caught(c, logits, options, Mistake::kOneColumnLess)) << Name(c);
      }
    }
  }
}

TEST(PolicyLoss, ARowCrossesTheMemoryBusOnceInAndOnceOut) {
  for (const int32_t dtype : kTypes) {
    for (const int64_t elements : {0, 1, 3}) {
      const Layout layout = {dtype, 2, 50257, 0, static_cast<uint64_t>(elements * SizeOf(dtype))};
      const Logits logits(layout, 8);
      Case c = MakeCase(layout, logits, 9);
      c.mask.clear();
      const int64_t matrix = 2 * 50257 * SizeOf(dtype);
      Options options;
      const emulator::Traffic t = RunLoss(c, logits, options).traffic;
      EXPECT_LT(t.wide_bytes, 2.1 * static_cast<double>(matrix)) << Name(c);
      EXPECT_LT(t.narrow_bytes, matrix / 4) << Name(c);
      options.mistake = Mistake::kNarrowVectors;
      EXPECT_GT(RunLoss(c, logits, options).traffic.narrow_bytes, 2 * matrix) << Name(c);
    }
  }
}

}  // namespace
}  // namespace polka::cuda::test
