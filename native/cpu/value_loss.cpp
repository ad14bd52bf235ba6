// The loss of predicted values against returns: one pass over the tokens, 17 bytes each, on one thread.
// A million of them take a few milliseconds, next to the value model's own passes nothing; and so every
// sum has one order.
#include <math.h>

#include "polka.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "value_loss.inl"

polka_status CheckValueLoss(const polka_value_loss_args& a) {
  if (a.rows < 0) return Fail(POLKA_INVALID_ARGUMENT, "rows: %lld is negative", static_cast<long long>(a.rows));
  POLKA_TRY(CheckSwitch(a.clip, "clip"));
  POLKA_TRY(CheckSwitch(a.huber_delta, "huber_delta"));
  POLKA_TRY(CheckOption(a.skip_non_finite, 1, "skip_non_finite"));
  if (!isfinite(a.gradient_scale)) {
    return Fail(POLKA_INVALID_ARGUMENT, "gradient_scale: %g is not finite", static_cast<double>(a.gradient_scale));
  }
  POLKA_TRY(CheckNormalizer(a.normalizer, "normalizer"));
  POLKA_TRY(CheckArray(a.values, a.rows, 4, "values"));
  POLKA_TRY(CheckArray(a.returns, a.rows, 4, "returns"));
  POLKA_TRY(CheckArray(a.old_values, a.clip > 0 ? a.rows : 0, 4, "old_values"));
  POLKA_TRY(CheckArray(a.d_values, 0, 4, "d_values"));
  POLKA_TRY(CheckArray(a.metrics, 1, 8, "metrics"));
  POLKA_TRY(CheckArray(a.offsets, 0, 8, "offsets"));
  POLKA_TRY(CheckOffsets(a.offsets, a.sequences, a.rows, "offsets"));
  return CheckSequenceTokens(a.normalizer, a.sequences, "normalizer");
}

// Adds a token that counts; returns its gradient.
float AddToken(const polka_value_loss_args& a, int64_t row, double weight, polka_value_loss_metrics& m, Moments& error,
               Moments& target) {
  const auto at = [row](uint64_t address) { return reinterpret_cast<const float*>(address)[row]; };
  const double value = static_cast<double>(at(a.values)), r = static_cast<double>(at(a.returns));
  const double old = a.clip > 0 ? static_cast<double>(at(a.old_values)) : value;
  const double read = value + r + old;
  if (read - read != 0) {
    if (m.non_finite_rows == 0) m.first_non_finite_row = static_cast<double>(row);
    m.non_finite_rows += 1;
    if (a.skip_non_finite) return 0;
  }
  // What is not finite makes the loss and the row NaN, and never a number.
  const double poison = read - read;
  const ValueTerm<double> term =
      ValueLoss(value, old, r, static_cast<double>(a.clip), static_cast<double>(a.huber_delta));
  m.tokens += 1;
  m.loss += Weighted(weight, term.loss + poison);
  m.clipped_sum += term.clipped;
  m.value_sum += value;
  AddToMoments(error, r - value, m.tokens);
  AddToMoments(target, r, m.tokens);
  const double scale = a.gradient_scale == 0 ? 1 : static_cast<double>(a.gradient_scale);
  return static_cast<float>(scale * Weighted(weight, term.derivative + poison));
}

void RunValueLoss(const polka_value_loss_args& a) {
  const int64_t* offsets = reinterpret_cast<const int64_t*>(a.offsets);
  const int64_t* counts = reinterpret_cast<const int64_t*>(a.normalizer.sequence_tokens);
  polka_value_loss_metrics m = {};
  m.first_non_finite_row = -1;
  Moments error = {}, target = {};
  for (int64_t s = 0; s < a.sequences; ++s) {
    const double weight = TokenWeight(a.normalizer.divisor, counts == nullptr ? 1 : counts[s]);
    for (int64_t row = offsets[s]; row < offsets[s + 1]; ++row) {
      const float gradient = Masked(a.mask, row) ? 0 : AddToken(a, row, weight, m, error, target);
      if (a.d_values != 0) reinterpret_cast<float*>(a.d_values)[row] = gradient;
    }
  }
  m.error_mean = error.mean;
  m.error_squares = error.squares;
  m.return_mean = target.mean;
  m.return_squares = target.squares;
  *reinterpret_cast<polka_value_loss_metrics*>(a.metrics) = m;
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_value_loss(polka_value_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "value_loss"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec));
  POLKA_TRY(CheckValueLoss(*args));
  RunValueLoss(*args);
  return POLKA_OK;
}
