// Compiles the formulas of native/math for the GPU, every one of them:
//   nvcc -std=c++20 -arch=sm_90 -fmad=false -Werror all-warnings
//     -Inative/include -Inative/math -c native/test/math_nvcc.cu -o /dev/null
// Nothing here is meant to run; until the CUDA kernels exist this keeps the formulas fit for them.
#include <math.h>
#include <stdint.h>

#include "polka.h"

namespace polka::cuda {
namespace {

#include "number.inl"
#include "softmax.inl"
#include "divergence.inl"
#include "token_kl.inl"
#include "policy_term.inl"
#include "policy_loss.inl"
#include "value_loss.inl"
#include "preference_loss.inl"
#include "group_advantage.inl"
#include "token_returns.inl"
#include "segment.inl"

}  // namespace

__global__ void Softmax(const float* in, float* out) {
  SoftmaxStats stats = Merge(EmptyStats(), SoftmaxStats{in[0], in[1], in[2], in[3], in[4]}, in[5], in[6]);
  const SoftmaxShape shape = Merge(EmptyShape(), SoftmaxShape{in[0], in[1], in[2], in[3], in[4]});
  const float log_sum = LogSum(stats.rest, in[7], in[8] > 0);
  const float log_prob = LogProbability(in[9], stats.max, log_sum, in[10]);
  const SoftmaxGradient g = GradientCoefficients(in[11], in[12], in[13], in[14], shape.finite, in[15], in[16]);
  out[0] = log_prob + shape.finite_sum + shape.top1 + shape.top2;
  out[1] = GradientElement(in[17], in[18], g.constant, g.slope) + g.uniform;
  out[2] = TargetGradient(log_prob, in[11], in[12], in[13], in[14], shape.finite, in[16]);
}

__global__ void Divergences(float p, float q, float lp, float lq, float beta, float kl, float* out) {
  const float zero = 0, rest = 1 - beta;
  const MixtureRatio<float> ratio = LogRatioToMixture(lp, lq, beta, rest, zero);
  out[0] = ForwardKlTerm(p, q, lp, lq, zero);
  out[1] = ForwardKlGradient(p, q);
  out[2] = ReverseKlTerm(p, q, lp, lq, zero);
  out[3] = ReverseKlGradient(p, lp, lq, kl, zero);
  out[4] = JsdTerm(p, q, ratio, beta, rest, zero);
  out[5] = JsdStudentTerm(p, ratio, zero);
  out[6] = JsdGradient(p, ratio, kl, rest, zero);
}

__global__ void DivergenceKinds(int kind, DivergenceColumn<float> column, float beta, float alpha, double* out) {
  const DivergenceNumbers<float> n = NumbersOf(0.0f, static_cast<double>(beta), static_cast<double>(alpha));
  DivergenceTotals totals = {};
  WithKind(kind, [&](auto tag) {
    const DivergenceTerm<float> term = TermOf<decltype(tag)::kValue>(column, n);
    totals = totals + DivergenceTotals{term.value, term.slope, column.p, column.q};
  });
  out[0] = MeanSlope(kind, totals);
  out[1] = MassFactor(kind, alpha, totals, false);
  out[2] = DivergenceValue(kind, beta, alpha, totals, true);
}

__global__ void TokenKls(polka_token_kl_args args) {
  const int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x;
  if (i >= args.count) return;
  const auto at = [i](uint64_t address) { return reinterpret_cast<const float*>(address)[i]; };
  const Differentiable<float> k = TokenKl(args.estimator, args.gradient_mode, at(args.log_prob), at(args.ref_log_prob),
                                          at(args.old_log_prob), args.max_log_ratio, args.k3_max);
  reinterpret_cast<float*>(args.kl)[i] = k.value;
  reinterpret_cast<float*>(args.d_log_prob)[i] = k.derivative;
}

__global__ void PolicyTokens(polka_policy_objective o, const float* in, polka_policy_loss_metrics* metrics,
                             double* out) {
  const TokenInputs<float> token = JudgeToken(
      o, TokenInputs<float>{in[0], in[1], in[2], in[3], in[4], in[5], in[6], DefaultNllWeight(in[4]), in[7]});
  SequenceSums sums = {};
  AddToSequence(o, sums, token);
  const SequenceState state = NeedsSequences(o) ? FinishSequence(o, sums) : SequenceState{};
  const TokenTerms<float> terms = MakeTerms(o, token, state);
  const TokenWeights weights = {TokenWeight(out[0], 3), TokenWeight(out[1], 1), TokenWeight(out[2], 1)};
  polka_policy_loss_metrics m = EmptyMetrics();
  if (token.non_finite) AddNonFinite(m, 0);
  AddToken(o, m, terms, weights);
  MergeMetrics(*metrics, m);
  metrics->loss = TotalLoss(o, *metrics);
  out[3] = LogProbGradient(o, terms, weights, state.d_log_prob);
  out[4] = NeedsEntropy(o) ? EntropyGradient(o, weights) : 0;
}

template <class Reward>
__device__ void Advantages(const polka_group_advantage_args& args, const Reward* rewards) {
  const GroupStatistics group = DescribeGroup(args, rewards, reinterpret_cast<const double*>(args.weights), args.count);
  reinterpret_cast<double*>(args.advantages)[0] = Advantage(args, group, static_cast<double>(rewards[0]), 0);
}

__global__ void GroupAdvantages(polka_group_advantage_args args) {
  Advantages(args, reinterpret_cast<const float*>(args.rewards));
  Advantages(args, reinterpret_cast<const double*>(args.rewards));
}

__global__ void TokenReturnSequence(polka_token_returns_args args, const float* in, double* out) {
  const ReturnFactors factors = FactorsOf(args, SequenceLambda(args, in, 0, 3));
  ReturnState state = StartReturns(in[0]);
  const ReturnsOfToken token = StepBack(state, factors, in[1], in[2], args.values != 0);
  out[0] = token.advantage;
  out[1] = token.returns;
}

__global__ void Segments(const float* in, double* out) {
  SegmentState state = StartSegment();
  for (int i = 0; i < 4; ++i) AddToSegment(POLKA_SEGMENT_LOG_MEAN_EXP, state, in[i]);
  out[0] = FinishSegment(POLKA_SEGMENT_LOG_MEAN_EXP, state);
}

__global__ void ValueLosses(const float* in, float* out) {
  const ValueTerm<float> term = ValueLoss(in[0], in[1], in[2], in[3], in[4]);
  Moments moments = {0, 0};
  AddToMoments(moments, static_cast<double>(in[0]), 1);
  out[0] = term.clipped ? term.loss : term.derivative + static_cast<float>(moments.squares);
}

__global__ void Preferences(int32_t kind, const double* in, double* out) {
  const MarginTerm<double> pair = PairTerm(kind, in[0], in[1], in[2]);
  const MarginTerm<double> labelled = LabelledTerm(in[0] > 0, in[1], in[2], in[3]);
  out[0] = pair.loss + labelled.derivative + LogSumExp(3, [in](int64_t i) { return in[i]; });
}

}  // namespace polka::cuda
