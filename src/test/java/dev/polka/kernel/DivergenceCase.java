package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Libtorch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * One call of divergence beside the f64 reference.
 *
 * @param weight a weight per row, or null for ones
 * @param mask rows that count, or null for all
 */
public record DivergenceCase(
    ReferenceDivergence divergence,
    Logits student,
    Logits teacher,
    ReferenceSoftmax softmax,
    double teacherTemperature,
    float[] weight,
    boolean[] mask,
    double divisor,
    int threads) {

  public static DivergenceCase of(
      ReferenceDivergence divergence, Logits student, Logits teacher, ReferenceSoftmax softmax) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, softmax.temperature(), null, null, 1, 0);
  }

  public DivergenceCase withTeacherTemperature(float value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, value, weight, mask, divisor, threads);
  }

  public DivergenceCase withWeight(float... value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teacherTemperature, value, mask, divisor, threads);
  }

  DivergenceCase withMask(boolean... value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teacherTemperature, weight, value, divisor, threads);
  }

  DivergenceCase withDivisor(double value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teacherTemperature, weight, mask, value, threads);
  }

  DivergenceCase withThreads(int value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teacherTemperature, weight, mask, divisor, value);
  }

  DivergenceCase withLogits(Logits student, Logits teacher) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teacherTemperature, weight, mask, divisor, threads);
  }

  /** Everything a call gives, as arrays; the gradient row after row. */
  public record Outputs(
      double loss,
      float[] value,
      float[] gradient,
      float[] studentEntropy,
      float[] studentLse,
      float[] teacherLse) {}

  Divergence operation() {
    Divergence op =
        switch (divergence.kind()) {
          case FORWARD_KL -> Divergence.forwardKl();
          case REVERSE_KL -> Divergence.reverseKl();
          case JSD -> Divergence.jsd((float) divergence.beta());
        };
    op =
        op.withTemperature((float) softmax.temperature())
            .withTeacherTemperature((float) teacherTemperature)
            .withThreads(threads);
    op = softmax.softcap() == 0 ? op : op.withSoftcap((float) softmax.softcap());
    return softmax.validVocab() == 0 ? op : op.withValidVocab(softmax.validVocab());
  }

  Rows rows() {
    Rows rows = mask == null ? Rows.all() : Rows.all().withMask(Bytes.copyOf(mask));
    return weight == null ? rows : rows.withWeight(Floats.copyOf(weight));
  }

  public Outputs run() {
    try (Matrix s = student.matrix();
        Matrix t = teacher.matrix();
        DivergenceResult r =
            operation().forwardBackward(s, t, rows(), Normalizer.constant(divisor))) {
      return new Outputs(
          r.loss(),
          r.value().toArray(),
          r.gradient().toArray(),
          r.studentEntropy().toArray(),
          r.studentLse().toArray(),
          r.teacherLse().toArray());
    }
  }

  ReferenceDistribution studentRow(int r) {
    return ReferenceDistribution.of(student.row(r), softmax, -1);
  }

  ReferenceDistribution teacherRow(int r) {
    return ReferenceDistribution.of(
        teacher.row(r), softmax.withTemperature(teacherTemperature), -1);
  }

  boolean counts(int row) {
    return mask == null || mask[row];
  }

  double[] expectedValues() {
    return IntStream.range(0, student.rows())
        .mapToDouble(r -> counts(r) ? divergence.value(studentRow(r), teacherRow(r)) : 0)
        .toArray();
  }

  /** Runs the call and compares all its outputs with the reference. */
  void assertAll() {
    assertAll(run());
  }

  void assertAll(Outputs out) {
    int v = student.cols();
    double[] values = expectedValues();
    Accuracy.assertEntropies("value", v, out.value, values);
    double loss = 0;
    double magnitude = 0;
    for (int r = 0; r < values.length; r++) {
      double w = weight == null ? 1 : weight[r];
      double share = divisor == 0 || !counts(r) ? 0 : w / divisor;
      loss += share == 0 ? 0 : share * values[r];
      magnitude += Math.abs(share) * Math.max(Math.max(1, Math.log(v)), Math.abs(values[r]));
    }
    Accuracy.assertLoss("loss", out.loss, loss, magnitude);
    Accuracy.assertEntropies(
        "student_entropy", v, out.studentEntropy, expected(r -> studentRow(r).entropy()));
    Accuracy.assertLogProbs("student_lse", out.studentLse, expected(r -> studentRow(r).lse()));
    Accuracy.assertLogProbs("teacher_lse", out.teacherLse, expected(r -> teacherRow(r).lse()));
    assertGradient(out.gradient);
  }

  private double[] expected(java.util.function.IntToDoubleFunction value) {
    return IntStream.range(0, student.rows())
        .mapToDouble(r -> counts(r) ? value.applyAsDouble(r) : 0)
        .toArray();
  }

  void assertGradient(float[] actual) {
    int rows = student.rows();
    double[] upstream = new double[rows];
    double[] scale = new double[rows];
    double[] temperatures = new double[rows];
    double[][] expected = new double[rows][student.cols()];
    Arrays.fill(temperatures, softmax.temperature());
    for (int r = 0; r < rows; r++) {
      double u = divisor == 0 || !counts(r) ? 0 : (weight == null ? 1 : weight[r]) / divisor;
      upstream[r] = u;
      if (u != 0) {
        double[] gradient = divergence.gradient(studentRow(r), teacherRow(r));
        expected[r] = Arrays.stream(gradient).map(g -> u * g).toArray();
        scale[r] = u * derivativeScale(r);
      }
    }
    Accuracy.assertGradients(
        "gradient",
        student.storage(),
        scale,
        temperatures,
        student.split(actual),
        expected,
        () -> libtorchError(upstream, expected));
  }

  /**
   * {@code p - q} and JSD's derivative are probabilities; the reverse KL's, {@code p (lp - lq -
   * KL)}, is one times a log-ratio on the scale of the divergence.
   */
  private double derivativeScale(int r) {
    return divergence.kind() == ReferenceDivergence.Kind.REVERSE_KL
        ? Math.max(
            Math.max(1, Math.log(student.cols())), divergence.value(studentRow(r), teacherRow(r)))
        : 1;
  }

  /** 0 where libtorch has no such operation. */
  private double libtorchError(double[] upstream, double[][] expected) {
    boolean comparable =
        mask == null && softmax.equals(ReferenceSoftmax.exactlyAt(softmax.temperature()));
    return comparable
        ? Libtorch.divergenceGradientError(
            divergence,
            student.values(),
            teacher.values(),
            softmax.temperature(),
            teacherTemperature,
            upstream,
            expected)
        : 0;
  }
}
