#include "divergence_arguments.h"

#include <math.h>

#include "cuda_backend.h"
#include "status.h"

namespace polka {
namespace {

polka_status CheckRowCount(const polka_matrix& m, const polka_divergence_args& a, const char* name) {
  if (m.rows == a.student.rows) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %lld rows, the student has %lld", name, static_cast<long long>(m.rows),
              static_cast<long long>(a.student.rows));
}

polka_status CheckVocabulary(const polka_matrix& m, const polka_divergence_args& a, const char* name) {
  const int64_t own = ValidVocab(a.teacher_softmax, m), student = ValidVocab(a.student_softmax, a.student);
  if (own == student || a.common_prefix == 1) return POLKA_OK;
  return Fail(
      POLKA_INVALID_ARGUMENT,
      "%s: vocabulary of %lld columns, the student's has %lld; set valid_vocab, or common_prefix to renormalise "
      "both on what they share",
      name, static_cast<long long>(own), static_cast<long long>(student));
}

// A teacher that is taken as it is has no softmax for a temperature or a reference to act on.
polka_status CheckLogWeights(const polka_divergence_args& a) {
  const polka_softmax& s = a.teacher_softmax;
  if (s.row_temperature != 0 || s.temperature != 1) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher_softmax.temperature: %g, but log weights are taken at 1",
                s.row_temperature != 0 ? static_cast<double>(NAN) : static_cast<double>(s.temperature));
  }
  if (s.softcap != 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher_softmax.softcap: %g, but log weights have none",
                static_cast<double>(s.softcap));
  }
  if (HasReference(a)) return Fail(POLKA_INVALID_ARGUMENT, "reference: goes with teacher logits, not with log weights");
  return POLKA_OK;
}

polka_status CheckReference(const polka_divergence_args& a) {
  POLKA_TRY(CheckMatrix(a.reference, "reference"));
  POLKA_TRY(CheckRowCount(a.reference, a, "reference"));
  POLKA_TRY(CheckSoftmax(a.teacher_softmax, a.reference, "teacher_softmax"));
  POLKA_TRY(CheckVocabulary(a.reference, a, "reference"));
  if (!isfinite(a.lambda)) {
    return Fail(POLKA_INVALID_ARGUMENT, "lambda: %g is not finite", static_cast<double>(a.lambda));
  }
  return POLKA_OK;
}

// What the kernels of the device do not have.
polka_status CheckOnDevice(const polka_divergence_args& a) {
  if (a.kind > POLKA_JSD) return Fail(POLKA_INVALID_ARGUMENT, "kind: %d runs on the CPU only", a.kind);
  if (a.teacher_form != POLKA_LOGITS) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher_form: log weights run on the CPU only");
  }
  if (HasReference(a)) return Fail(POLKA_INVALID_ARGUMENT, "reference: runs on the CPU only");
  return POLKA_OK;
}

}  // namespace

polka_status CheckDivergenceKind(int32_t kind, float beta, float alpha) {
  if (kind < POLKA_FORWARD_KL || kind > POLKA_GENERALIZED_KL) {
    return Fail(POLKA_INVALID_ARGUMENT, "kind: %d is not a divergence", kind);
  }
  const bool mixes = kind == POLKA_JSD || kind == POLKA_SKEW_FORWARD_KL || kind == POLKA_SKEW_REVERSE_KL;
  if (mixes && !(beta > 0 && beta < 1)) {
    return Fail(POLKA_INVALID_ARGUMENT, "beta: %g is not between 0 and 1", static_cast<double>(beta));
  }
  if (kind == POLKA_ALPHA && (!isfinite(alpha) || alpha == 0 || alpha == 1)) {
    return Fail(POLKA_INVALID_ARGUMENT, "alpha: %g is not finite, or 0 or 1, where the KLs are",
                static_cast<double>(alpha));
  }
  return POLKA_OK;
}

polka_status CheckDivergence(const polka_divergence_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "divergence"));
  POLKA_TRY(CheckExec(a->exec, true));
  POLKA_TRY(CheckMatrix(a->student, "student"));
  POLKA_TRY(CheckMatrix(a->teacher, "teacher"));
  POLKA_TRY(CheckSoftmax(a->student_softmax, a->student, "student_softmax"));
  POLKA_TRY(CheckSoftmax(a->teacher_softmax, a->teacher, "teacher_softmax"));
  POLKA_TRY(CheckRowCount(a->teacher, *a, "teacher"));
  POLKA_TRY(CheckOption(a->common_prefix, 1, "common_prefix"));
  POLKA_TRY(CheckOption(a->teacher_form, POLKA_LOG_WEIGHTS, "teacher_form"));
  POLKA_TRY(CheckVocabulary(a->teacher, *a, "teacher"));
  POLKA_TRY(CheckDivergenceKind(a->kind, a->beta, a->alpha));
  if (a->teacher_form == POLKA_LOG_WEIGHTS) POLKA_TRY(CheckLogWeights(*a));
  if (HasReference(*a)) POLKA_TRY(CheckReference(*a));
  if (!OnCpu(a->exec)) POLKA_TRY(CheckOnDevice(*a));
  if (!(a->divisor >= 0) || !isfinite(a->divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "divisor: %g is not finite and >= 0", a->divisor);
  }
  if (a->d_student.data != 0) {
    POLKA_TRY(CheckGradient(a->student, a->d_student, a->gradient_scale, "d_student"));
    POLKA_TRY(CheckDisjoint(a->teacher, a->d_student, "d_student", "the teacher"));
    if (HasReference(*a)) POLKA_TRY(CheckDisjoint(a->reference, a->d_student, "d_student", "the reference"));
  }
  return POLKA_OK;
}

polka_divergence_args OnCommonColumns(const polka_divergence_args& a) {
  polka_divergence_args common = a;
  if (a.common_prefix != 1) return common;
  int64_t columns = ValidVocab(a.student_softmax, a.student);
  const auto take = [&](const polka_matrix& m) {
    const int64_t own = ValidVocab(a.teacher_softmax, m);
    if (own < columns) columns = own;
  };
  take(a.teacher);
  if (HasReference(a)) take(a.reference);
  common.student_softmax.valid_vocab = common.teacher_softmax.valid_vocab = columns;
  return common;
}

}  // namespace polka
