package dev.polka.kernel;

import dev.polka.kernel.internal.DivergenceStruct;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;

/**
 * Which divergence, and what the teacher's rows stand for.
 *
 * @param teacherTemperature the teacher's own temperature; 0: the student's
 * @param logWeights whether the teacher's rows are ln q as it is
 * @param commonPrefix whether vocabularies of different width are cut to the columns of both
 * @param reference logits that the teacher's are mixed with, or null
 * @param lambda the teacher's factor in that mixture
 */
record DivergenceOptions(
    int kind,
    float beta,
    float alpha,
    float teacherTemperature,
    boolean logWeights,
    boolean commonPrefix,
    Matrix reference,
    float lambda) {

  static DivergenceOptions of(int kind) {
    return new DivergenceOptions(kind, 0, 0, 0, false, false, null, 0);
  }

  DivergenceOptions withBeta(float value, String atTheEnds) {
    if (!(value > 0 && value < 1)) {
      throw new IllegalArgumentException(
          "beta: " + value + " is not in (0, 1); at the ends are " + atTheEnds);
    }
    return new DivergenceOptions(
        kind, value, alpha, teacherTemperature, logWeights, commonPrefix, reference, lambda);
  }

  DivergenceOptions withAlpha(float value) {
    if (!Float.isFinite(value) || value == 0 || value == 1) {
      throw new IllegalArgumentException(
          "alpha: " + value + " is not finite, or 0 or 1, where reverseKl and forwardKl are");
    }
    return new DivergenceOptions(
        kind, beta, value, teacherTemperature, logWeights, commonPrefix, reference, lambda);
  }

  DivergenceOptions withTeacherTemperature(float value) {
    Require.temperature("teacherTemperature", value);
    refuse(logWeights, "teacherTemperature: the teacher's log weights are taken as they are");
    return new DivergenceOptions(
        kind, beta, alpha, value, logWeights, commonPrefix, reference, lambda);
  }

  DivergenceOptions withLogWeights() {
    refuse(teacherTemperature != 0, "teacherLogWeights: a teacher temperature is set");
    refuse(reference != null, "teacherLogWeights: a reference is set, which goes with logits");
    return new DivergenceOptions(
        kind, beta, alpha, teacherTemperature, true, commonPrefix, reference, lambda);
  }

  DivergenceOptions withCommonPrefix() {
    return new DivergenceOptions(
        kind, beta, alpha, teacherTemperature, logWeights, true, reference, lambda);
  }

  DivergenceOptions withReference(Matrix logits, float factor) {
    Require.finite("lambda", factor);
    refuse(logWeights, "reference: goes with teacher logits, not with log weights");
    return new DivergenceOptions(
        kind, beta, alpha, teacherTemperature, logWeights, commonPrefix, logits, factor);
  }

  void requireNoTeacherOptions() {
    refuse(teacherTemperature != 0, "teacherTemperature: a top-K teacher has its own already");
    refuse(logWeights, "teacherLogWeights: a top-K teacher's entries are taken as they are");
    refuse(commonPrefix, "commonPrefix: a top-K teacher has no width");
    refuse(reference != null, "reference: a top-K teacher has no logits to mix with");
  }

  void requireTwoSoftmaxes() {
    refuse(logWeights, "teacherLogWeights: shards are of logits");
    refuse(commonPrefix, "commonPrefix: shards have the same columns");
    refuse(reference != null, "reference: shards are of student and teacher alone");
  }

  private static void refuse(boolean when, String why) {
    if (when) {
      throw new IllegalArgumentException(why);
    }
  }

  void write(NativeCall call, ByteBuffer struct, Matrix student, Matrix teacher, Softmax softmax) {
    requireFitting("teacher", teacher, student, softmax);
    call.in("teacher", teacher, DivergenceStruct.TEACHER);
    softmax.write(call, struct, DivergenceStruct.TEACHER_SOFTMAX, teacher);
    if (logWeights) {
      Softmax.plain(struct, DivergenceStruct.TEACHER_SOFTMAX);
    } else if (teacherTemperature != 0) {
      Softmax.overrideTemperature(struct, DivergenceStruct.TEACHER_SOFTMAX, teacherTemperature);
    }
    if (reference != null) {
      requireFitting("reference", reference, student, softmax);
      call.in("reference", reference, DivergenceStruct.REFERENCE);
      struct.putFloat(DivergenceStruct.LAMBDA, lambda);
    }
    struct.putFloat(DivergenceStruct.BETA, beta);
    struct.putFloat(DivergenceStruct.ALPHA, alpha);
    struct.putInt(DivergenceStruct.KIND, kind);
    struct.putInt(DivergenceStruct.TEACHER_FORM, logWeights ? 1 : 0);
    struct.putInt(DivergenceStruct.COMMON_PREFIX, commonPrefix ? 1 : 0);
  }

  private void requireFitting(String name, Matrix matrix, Matrix student, Softmax softmax) {
    boolean anyWidth = commonPrefix || softmax.validVocab() != 0;
    if (matrix.rows() != student.rows() || matrix.cols() != student.cols() && !anyWidth) {
      String shapes =
          name
              + ": is ["
              + matrix.rows()
              + ", "
              + matrix.cols()
              + "], the logits are ["
              + student.rows()
              + ", "
              + student.cols()
              + "]";
      throw new IllegalArgumentException(
          matrix.rows() != student.rows()
              ? shapes
              : shapes
                  + "; withValidVocab names the columns that are tokens, withCommonPrefix"
                  + " renormalises on those of both");
    }
  }
}
