// Returns and advantages of tokens: a sequence belongs to one thread, which goes through it once, from
// its last token to its first; 13 bytes are read and 8 written per token. Sequences are what threads
// share, so one sequence alone takes one thread.
#include <math.h>

#include "cuda_backend.h"
#include "parallel.h"
#include "polka.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "token_returns.inl"

constexpr int64_t kTokenBytes = 21;

polka_status CheckUnit(double value, const char* name) {
  if (value >= 0 && value <= 1) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is outside [0, 1]", name, value);
}

polka_status CheckOptions(const polka_token_returns_args& a) {
  POLKA_TRY(CheckUnit(a.gamma, "gamma"));
  if (a.values == 0) {
    if (a.advantages == 0) return POLKA_OK;
    return Fail(POLKA_INVALID_ARGUMENT, "advantages: need values");
  }
  POLKA_TRY(CheckUnit(a.lambda, "lambda"));
  POLKA_TRY(CheckUnit(a.value_lambda, "value_lambda"));
  if (!(a.length_alpha >= 0) || !isfinite(a.length_alpha)) {
    return Fail(POLKA_INVALID_ARGUMENT, "length_alpha: %g is not finite and >= 0", a.length_alpha);
  }
  return POLKA_OK;
}

polka_status CheckMemory(const polka_token_returns_args& a) {
  if (a.count < 0) return Fail(POLKA_INVALID_ARGUMENT, "count: %lld is negative", static_cast<long long>(a.count));
  POLKA_TRY(CheckArray(a.rewards, a.count, 4, "rewards"));
  POLKA_TRY(CheckArray(a.values, 0, 4, "values"));
  POLKA_TRY(CheckArray(a.bootstrap, 0, 4, "bootstrap"));
  POLKA_TRY(CheckArray(a.sequence_lambda, 0, 4, "sequence_lambda"));
  POLKA_TRY(CheckArray(a.advantages, 0, 4, "advantages"));
  POLKA_TRY(CheckArray(a.returns, 0, 4, "returns"));
  POLKA_TRY(CheckArray(a.offsets, 0, 8, "offsets"));
  return CheckOffsets(a.offsets, a.sequences, a.count, "offsets", OnCpu(a.exec));
}

polka_status CheckLambdas(const polka_token_returns_args& a) {
  if (a.values == 0 || a.sequence_lambda == 0) return POLKA_OK;
  const float* lambda = reinterpret_cast<const float*>(a.sequence_lambda);
  for (int64_t b = 0; b < a.sequences; ++b) {
    if (!(lambda[b] >= 0 && lambda[b] <= 1)) {
      return Fail(POLKA_INVALID_ARGUMENT, "sequence_lambda: %g of sequence %lld is outside [0, 1]",
                  static_cast<double>(lambda[b]), static_cast<long long>(b));
    }
  }
  return POLKA_OK;
}

int64_t CountTokens(const polka_token_returns_args& a, int64_t first, int64_t last) {
  int64_t tokens = 0;
  for (int64_t t = first; t < last; ++t) tokens += !Masked(a.mask, t);
  return tokens;
}

void RunSequence(const polka_token_returns_args& a, int64_t b) {
  const int64_t* offsets = reinterpret_cast<const int64_t*>(a.offsets);
  const float* rewards = reinterpret_cast<const float*>(a.rewards);
  const float* values = reinterpret_cast<const float*>(a.values);
  const float* bootstrap = reinterpret_cast<const float*>(a.bootstrap);
  float* advantages = reinterpret_cast<float*>(a.advantages);
  float* returns = reinterpret_cast<float*>(a.returns);
  const bool counts = values != nullptr && a.length_alpha > 0;
  const int64_t tokens = counts ? CountTokens(a, offsets[b], offsets[b + 1]) : 0;
  const double lambda = SequenceLambda(a, reinterpret_cast<const float*>(a.sequence_lambda), b, tokens);
  const ReturnFactors factors = FactorsOf(a, values == nullptr ? 0 : lambda);
  ReturnState state = StartReturns(bootstrap == nullptr ? 0 : static_cast<double>(bootstrap[b]));
  for (int64_t t = offsets[b + 1] - 1; t >= offsets[b]; --t) {
    ReturnsOfToken token = {0, 0};
    if (!Masked(a.mask, t)) {
      const double value = values == nullptr ? 0 : static_cast<double>(values[t]);
      token = StepBack(state, factors, static_cast<double>(rewards[t]), value, values != nullptr);
    }
    if (advantages != nullptr) advantages[t] = static_cast<float>(token.advantage);
    if (returns != nullptr) returns[t] = static_cast<float>(token.returns);
  }
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_token_returns(polka_token_returns_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "token_returns"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec, true));
  POLKA_TRY(CheckOptions(*args));
  POLKA_TRY(CheckMemory(*args));
  if (args->count == 0) return POLKA_OK;
  if (!OnCpu(args->exec)) return kCudaBackend.token_returns(args);
  POLKA_TRY(CheckLambdas(*args));
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) RunSequence(*args, b);
  };
  const int64_t chunk = RowsPerChunk(args->count / args->sequences * kTokenBytes);
  ParallelFor(ThreadsFor(args->exec, args->count * kTokenBytes), args->sequences, chunk, body);
  return POLKA_OK;
}
