// Losses on the scores of whole responses. A few numbers a response: one thread, groups in order.
#include <math.h>

#include "polka.h"
#include "rows.h"
#include "status.h"

namespace polka {
namespace {

#include "number.inl"
#include "preference_loss.inl"

const double* Doubles(uint64_t address) { return reinterpret_cast<const double*>(address); }

polka_status CheckFinite(double value, const char* name) {
  if (isfinite(value)) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is not finite", name, value);
}

polka_status CheckOptions(const polka_preference_loss_args& a) {
  POLKA_TRY(CheckOption(a.kind, POLKA_PREFERENCE_POSTERIOR, "kind"));
  if (!(a.beta > 0) || !isfinite(a.beta)) {
    return Fail(POLKA_INVALID_ARGUMENT, "beta: %g is not finite and > 0", a.beta);
  }
  POLKA_TRY(CheckFinite(a.margin, "margin"));
  if (!(a.bias > 0 && a.bias <= 1)) return Fail(POLKA_INVALID_ARGUMENT, "bias: %g is not in (0, 1]", a.bias);
  if (!(a.label_smoothing >= 0 && a.label_smoothing <= 1)) {
    return Fail(POLKA_INVALID_ARGUMENT, "label_smoothing: %g is not in [0, 1]", a.label_smoothing);
  }
  if (a.label_smoothing != 0 && a.kind != POLKA_PREFERENCE_SIGMOID) {
    return Fail(POLKA_INVALID_ARGUMENT, "label_smoothing: %g belongs to kind 0, not to %d", a.label_smoothing, a.kind);
  }
  POLKA_TRY(CheckFinite(a.reference_point, "reference_point"));
  POLKA_TRY(CheckFinite(a.desirable_weight, "desirable_weight"));
  POLKA_TRY(CheckFinite(a.undesirable_weight, "undesirable_weight"));
  if (!(a.divisor >= 0) || !isfinite(a.divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "divisor: %g is not finite and >= 0", a.divisor);
  }
  return POLKA_OK;
}

polka_status CheckMemory(const polka_preference_loss_args& a) {
  const bool labelled = a.kind == POLKA_PREFERENCE_KTO;
  if (a.count < 0) return Fail(POLKA_INVALID_ARGUMENT, "count: %lld is negative", static_cast<long long>(a.count));
  POLKA_TRY(CheckArray(a.scores, a.count, 8, "scores"));
  POLKA_TRY(CheckArray(a.ref_scores, 0, 8, "ref_scores"));
  POLKA_TRY(CheckArray(a.targets, a.kind == POLKA_PREFERENCE_POSTERIOR ? a.count : 0, 8, "targets"));
  POLKA_TRY(CheckArray(a.desirable, labelled ? a.count : 0, 1, "desirable"));
  POLKA_TRY(CheckArray(a.weights, 0, 8, "weights"));
  POLKA_TRY(CheckArray(a.unit_losses, 0, 8, "unit_losses"));
  POLKA_TRY(CheckArray(a.d_scores, 0, 8, "d_scores"));
  POLKA_TRY(CheckArray(a.metrics, 1, 8, "metrics"));
  if (labelled) return POLKA_OK;
  POLKA_TRY(CheckArray(a.group_offsets, 0, 8, "group_offsets"));
  return CheckOffsets(a.group_offsets, a.groups, a.count, "group_offsets");
}

// One call: where gradients go, and what has been counted.
struct Run {
  const polka_preference_loss_args& a;
  polka_preference_loss_metrics m = {};

  // The log-ratio to the reference, or the score itself.
  double Relative(int64_t i) const {
    return a.ref_scores == 0 ? Doubles(a.scores)[i] : Doubles(a.scores)[i] - Doubles(a.ref_scores)[i];
  }

  void AddGradient(int64_t i, double gradient) const {
    if (a.d_scores != 0) reinterpret_cast<double*>(a.d_scores)[i] += gradient;
  }

  double UnitWeight(int64_t unit) const {
    if (a.divisor == 0) return 0;
    return (a.weights == 0 ? 1 : Doubles(a.weights)[unit]) / a.divisor;
  }

  void AddUnit(int64_t unit, double weight, double loss) {
    if (a.unit_losses != 0) reinterpret_cast<double*>(a.unit_losses)[unit] = loss;
    m.loss += Weighted(weight, loss);
    if (loss - loss != 0) {
      if (m.non_finite_units == 0) m.first_non_finite_unit = static_cast<double>(unit);
      m.non_finite_units += 1;
    }
  }

  // All pairs of a group that is ranked from its best response to its worst.
  void Ranking(int64_t g, int64_t first, int64_t last) {
    const double pairs = 0.5 * static_cast<double>(last - first) * static_cast<double>(last - first - 1);
    const double weight = UnitWeight(g), share = weight / (pairs > 0 ? pairs : 1);
    double loss = 0;
    for (int64_t i = first; i < last; ++i) {
      for (int64_t j = i + 1; j < last; ++j) {
        const double chosen = a.beta * Relative(i), rejected = a.beta * Relative(j);
        const double h = chosen - a.bias * rejected - a.margin;
        const MarginTerm<double> term = PairTerm(a.kind, h, a.beta, a.label_smoothing);
        loss += term.loss;
        if (share != 0) {
          AddGradient(i, share * a.beta * term.derivative);
          AddGradient(j, -share * a.beta * a.bias * term.derivative);
        }
        m.pairs += 1;
        m.correct += chosen > rejected;
        m.margin_sum += chosen - rejected;
        m.chosen_sum += chosen;
        m.rejected_sum += rejected;
      }
    }
    AddUnit(g, weight, pairs > 0 ? loss / pairs : 0);
  }

  // KL(a || b) of a group, a the posterior that the targets name and b the policy's own.
  void Posterior(int64_t g, int64_t first, int64_t last) {
    const auto target = [&](int64_t i) {
      return Doubles(a.targets)[first + i] - (a.ref_scores == 0 ? 0 : Doubles(a.ref_scores)[first + i]);
    };
    const auto score = [&](int64_t i) { return a.beta * Relative(first + i); };
    const int64_t n = last - first;
    const double target_sum = LogSumExp(n, target), score_sum = LogSumExp(n, score), weight = UnitWeight(g);
    double loss = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double log_a = target(i) - target_sum, log_b = score(i) - score_sum, p = Exp(log_a);
      // A response without posterior adds nothing, however unlikely the policy finds it.
      loss += p == 0 ? 0 : p * (log_a - log_b);
      if (weight != 0) AddGradient(first + i, weight * a.beta * (Exp(log_b) - p));
    }
    AddUnit(g, weight, loss);
  }

  void Labelled(int64_t i) {
    const bool desirable = reinterpret_cast<const uint8_t*>(a.desirable)[i] != 0;
    const double reward = a.beta * Relative(i), h = reward - a.beta * a.reference_point, weight = UnitWeight(i);
    const MarginTerm<double> term = LabelledTerm(desirable, h, a.desirable_weight, a.undesirable_weight);
    AddUnit(i, weight, term.loss);
    if (weight != 0) AddGradient(i, weight * a.beta * term.derivative);
    m.pairs += 1;
    m.correct += desirable ? h > 0 : h < 0;
    m.margin_sum += desirable ? reward : -reward;
    (desirable ? m.chosen_sum : m.rejected_sum) += reward;
  }

  void All() {
    m.first_non_finite_unit = -1;
    for (int64_t i = 0; i < a.count; ++i) {
      if (a.d_scores != 0) reinterpret_cast<double*>(a.d_scores)[i] = 0;
    }
    if (a.kind == POLKA_PREFERENCE_KTO) {
      for (int64_t i = 0; i < a.count; ++i) Labelled(i);
    } else {
      const int64_t* offsets = reinterpret_cast<const int64_t*>(a.group_offsets);
      for (int64_t g = 0; g < a.groups; ++g) {
        a.kind == POLKA_PREFERENCE_POSTERIOR ? Posterior(g, offsets[g], offsets[g + 1])
                                             : Ranking(g, offsets[g], offsets[g + 1]);
      }
    }
    *reinterpret_cast<polka_preference_loss_metrics*>(a.metrics) = m;
  }
};

}  // namespace
}  // namespace polka

extern "C" polka_status polka_preference_loss(polka_preference_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, "preference_loss"));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckExec(args->exec));
  POLKA_TRY(CheckOptions(*args));
  POLKA_TRY(CheckMemory(*args));
  Run{*args}.All();
  return POLKA_OK;
}
