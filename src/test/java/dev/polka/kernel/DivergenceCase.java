package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.reference.Accuracy;
import dev.polka.reference.Libtorch;
import dev.polka.reference.ReferenceDistribution;
import dev.polka.reference.ReferenceDivergence;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.Storage;
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
    Teaching teaching,
    float[] weight,
    boolean[] mask,
    double divisor,
    int threads) {

  /**
   * What the teacher's rows stand for.
   *
   * @param temperature the teacher's; 0: the student's
   * @param logWeights whether the rows are ln q as it is
   * @param commonPrefix whether both are cut to the columns of both
   * @param reference logits to mix with, or null
   * @param lambda the teacher's factor in the mixture
   */
  record Teaching(
      float temperature, boolean logWeights, boolean commonPrefix, Logits reference, float lambda) {
    static final Teaching PLAIN = new Teaching(0, false, false, null, 0);
  }

  public static DivergenceCase of(
      ReferenceDivergence divergence, Logits student, Logits teacher, ReferenceSoftmax softmax) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, Teaching.PLAIN, null, null, 1, 0);
  }

  DivergenceCase with(Teaching value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, value, weight, mask, divisor, threads);
  }

  public DivergenceCase withTeacherTemperature(float value) {
    return with(new Teaching(value, false, false, teaching.reference, teaching.lambda));
  }

  DivergenceCase withTeacherLogWeights() {
    return with(new Teaching(0, true, teaching.commonPrefix, null, 0));
  }

  DivergenceCase withCommonPrefix() {
    return with(
        new Teaching(
            teaching.temperature, teaching.logWeights, true, teaching.reference, teaching.lambda));
  }

  DivergenceCase withReference(Logits reference, float lambda) {
    return with(
        new Teaching(teaching.temperature, false, teaching.commonPrefix, reference, lambda));
  }

  public DivergenceCase withWeight(float... value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teaching, value, mask, divisor, threads);
  }

  DivergenceCase withMask(boolean... value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teaching, weight, value, divisor, threads);
  }

  DivergenceCase withDivisor(double value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teaching, weight, mask, value, threads);
  }

  DivergenceCase withThreads(int value) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teaching, weight, mask, divisor, value);
  }

  DivergenceCase withLogits(Logits student, Logits teacher) {
    return new DivergenceCase(
        divergence, student, teacher, softmax, teaching, weight, mask, divisor, threads);
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
    float parameter = (float) divergence.parameter();
    Divergence op =
        switch (divergence.kind()) {
          case FORWARD_KL -> Divergence.forwardKl();
          case REVERSE_KL -> Divergence.reverseKl();
          case JSD -> Divergence.jsd(parameter);
          case SKEW_FORWARD_KL -> Divergence.skewForwardKl(parameter);
          case SKEW_REVERSE_KL -> Divergence.skewReverseKl(parameter);
          case TOTAL_VARIATION -> Divergence.totalVariation();
          case CHI_SQUARED -> Divergence.chiSquared();
          case ALPHA -> Divergence.alpha(parameter);
          case GENERALIZED_KL -> Divergence.generalizedKl();
        };
    op = op.withTemperature((float) softmax.temperature()).withThreads(threads);
    op = teaching.temperature == 0 ? op : op.withTeacherTemperature(teaching.temperature);
    op = teaching.logWeights ? op.withTeacherLogWeights() : op;
    op = teaching.commonPrefix ? op.withCommonPrefix() : op;
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
        Matrix reference = teaching.reference == null ? null : teaching.reference.matrix();
        DivergenceResult r =
            (reference == null ? operation() : operation().withReference(reference, lambda()))
                .forwardBackward(s, t, rows(), Normalizer.constant(divisor))) {
      return new Outputs(
          r.loss(),
          r.value().toArray(),
          r.gradient().toArray(),
          r.studentEntropy().toArray(),
          r.studentLse().toArray(),
          r.teacherLse().toArray());
    }
  }

  private float lambda() {
    return teaching.lambda;
  }

  /** The softmax over the columns that the case looks at. */
  private ReferenceSoftmax onColumns() {
    return teaching.commonPrefix
        ? softmax.withValidVocab(Math.min(student.cols(), teacher.cols()))
        : softmax;
  }

  ReferenceDistribution studentRow(int r) {
    return ReferenceDistribution.of(student.row(r), onColumns(), -1);
  }

  ReferenceDistribution teacherRow(int r) {
    ReferenceSoftmax own = onColumns().withTemperature(teacherTemperature());
    if (teaching.logWeights) {
      return ReferenceDistribution.measure(
          Storage.widen(teacher.row(r)), own.withTemperature(1).withSoftcap(0));
    }
    return teaching.reference == null
        ? ReferenceDistribution.of(teacher.row(r), own, -1)
        : ReferenceDistribution.of(
            own.mixture(teacher.row(r), teaching.reference.row(r), lambda()),
            own.withSoftcap(0),
            -1);
  }

  double teacherTemperature() {
    return teaching.temperature == 0 ? softmax.temperature() : teaching.temperature;
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
    double peer = libtorchValueError(values);
    Accuracy.assertDivergences("value", v, out.value, values, peer);
    double loss = 0;
    double magnitude = 0;
    for (int r = 0; r < values.length; r++) {
      double w = weight == null ? 1 : weight[r];
      double share = divisor == 0 || !counts(r) ? 0 : w / divisor;
      loss += share == 0 ? 0 : share * values[r];
      magnitude += Math.abs(share) * Math.max(Math.max(1, Math.log(v)), Math.abs(values[r]));
      magnitude += Math.abs(share) * peer / (4 * Accuracy.EPS);
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
   * {@code p - q}, total variation's, JSD's and the skews' derivatives are probabilities times a
   * number near 1; the others' are one times a number on the scale of the divergence, of which chi
   * squared has the double.
   */
  private double derivativeScale(int r) {
    double value = divergence.value(studentRow(r), teacherRow(r));
    double large = Math.max(Math.max(1, Math.log(student.cols())), value);
    return switch (divergence.kind()) {
      case REVERSE_KL, ALPHA -> large;
      case CHI_SQUARED -> 2 * large;
      default -> 1;
    };
  }

  private boolean libtorchHasIt() {
    return mask == null
        && !teaching.logWeights
        && teaching.reference == null
        && student.cols() == teacher.cols()
        && softmax.equals(ReferenceSoftmax.exactlyAt(softmax.temperature()));
  }

  /** 0 where libtorch has no such operation. */
  private double libtorchValueError(double[] expected) {
    return libtorchHasIt()
        ? Libtorch.divergenceValueError(
            divergence,
            student.values(),
            teacher.values(),
            softmax.temperature(),
            teacherTemperature(),
            expected)
        : 0;
  }

  /** 0 where libtorch has no such operation. */
  private double libtorchError(double[] upstream, double[][] expected) {
    return libtorchHasIt()
        ? Libtorch.divergenceGradientError(
            divergence,
            student.values(),
            teacher.values(),
            softmax.temperature(),
            teacherTemperature(),
            upstream,
            expected)
        : 0;
  }
}
