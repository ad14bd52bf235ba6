package dev.polka.reference;

import dev.polka.torch.Tensors;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * What libtorch's own operations and autograd make of the same f32 logits: the second half of the
 * accuracy bar, for quantities whose f32 error no implementation can keep under 4 eps of scale.
 */
public final class Libtorch {
  private Libtorch() {}

  /** Largest |error| of the gradient of {@code a logProb + b entropy}, rows one after another. */
  public static double logProbGradientError(
      float[] logits,
      long[] targets,
      float[] temperatures,
      float[] a,
      float[] b,
      double[][] expected) {
    int rows = targets.length;
    try (PointerScope scope = new PointerScope()) {
      Tensor z = leaf(logits, rows);
      Tensor lp = z.div(Tensors.of(temperatures, rows, 1)).log_softmax(-1);
      Tensor picked = lp.gather(-1, Tensors.of(targets, rows, 1));
      Tensor entropy = lp.exp().mul(lp).sum(-1).neg();
      Tensor loss =
          picked.mul(Tensors.of(a, rows, 1)).sum().add(entropy.mul(Tensors.of(b, rows)).sum());
      return largestError(z, loss, expected);
    }
  }

  /** Largest |error| of the student's gradient of {@code sum_r upstream_r divergence_r}. */
  public static double divergenceGradientError(
      ReferenceDivergence divergence,
      float[] student,
      float[] teacher,
      double temperature,
      double teacherTemperature,
      double[] upstream,
      double[][] expected) {
    int rows = upstream.length;
    try (PointerScope scope = new PointerScope()) {
      Tensor z = leaf(student, rows);
      Tensor lp = logProbs(z, temperature);
      Tensor lq = logProbs(leaf(teacher, rows), teacherTemperature);
      Tensor value = value(divergence, lp, lq.detach());
      return largestError(z, value.mul(Tensors.of(Storage.toF32(upstream), rows)).sum(), expected);
    }
  }

  /** Largest |error| of the divergences themselves. */
  public static double divergenceValueError(
      ReferenceDivergence divergence,
      float[] student,
      float[] teacher,
      double temperature,
      double teacherTemperature,
      double[] expected) {
    int rows = expected.length;
    try (PointerScope scope = new PointerScope()) {
      Tensor lp = logProbs(leaf(student, rows).detach(), temperature);
      Tensor lq = logProbs(leaf(teacher, rows).detach(), teacherTemperature);
      float[] values = new float[rows];
      new FloatPointer(value(divergence, lp, lq).contiguous().data_ptr_float()).get(values);
      double largest = 0;
      for (int r = 0; r < rows; r++) {
        double error = Math.abs(values[r] - expected[r]);
        largest = Double.isFinite(error) ? Math.max(largest, error) : largest;
      }
      return largest;
    }
  }

  /** Largest |errors| of values and student gradients, all of it computed in bf16. */
  public static double[] divergenceErrorsInBf16(
      ReferenceDivergence divergence,
      float[] student,
      float[] teacher,
      double[] expected,
      double[][] expectedGradient) {
    int rows = expected.length;
    try (PointerScope scope = new PointerScope()) {
      Tensor z = bf16(student, rows).requires_grad_(true);
      Tensor lq = bf16(teacher, rows).log_softmax(-1);
      Tensor value = value(divergence, z.log_softmax(-1), lq);
      float[] values = floats(value, rows);
      double largest = 0;
      for (int r = 0; r < rows; r++) {
        largest = Math.max(largest, Math.abs(values[r] - expected[r]));
      }
      value.sum().backward();
      float[] gradient = floats(z.grad(), student.length);
      double largestGradient = 0;
      for (int i = 0; i < gradient.length; i++) {
        double exact = expectedGradient[i / (student.length / rows)][i % (student.length / rows)];
        largestGradient = Math.max(largestGradient, Math.abs(gradient[i] - exact));
      }
      return new double[] {largest, largestGradient};
    }
  }

  private static Tensor bf16(float[] values, int rows) {
    return Tensors.of(values, rows, values.length / rows).to(ScalarType.BFloat16).detach();
  }

  private static float[] floats(Tensor tensor, int count) {
    float[] values = new float[count];
    new FloatPointer(tensor.detach().to(ScalarType.Float).contiguous().data_ptr_float())
        .get(values);
    return values;
  }

  private static Tensor logProbs(Tensor logits, double temperature) {
    return logits.div(new Scalar((float) temperature)).log_softmax(-1);
  }

  private static Tensor value(ReferenceDivergence divergence, Tensor lp, Tensor lq) {
    double b = divergence.parameter();
    return switch (divergence.kind()) {
      case FORWARD_KL, GENERALIZED_KL -> kl(lq, lp);
      case REVERSE_KL -> kl(lp, lq);
      case JSD -> {
        Tensor lm = mixture(b, lq, lp);
        yield kl(lq, lm).mul(new Scalar(b)).add(kl(lp, lm).mul(new Scalar(1 - b)));
      }
      case SKEW_FORWARD_KL -> kl(lq, mixture(b, lq, lp));
      case SKEW_REVERSE_KL -> kl(lp, mixture(b, lp, lq));
      case TOTAL_VARIATION -> lp.exp().sub(lq.exp()).abs().sum(-1).mul(new Scalar(0.5));
      case CHI_SQUARED -> plus(lp.mul(new Scalar(2.0)).sub(lq).exp().sum(-1), -1);
      case ALPHA -> {
        Tensor geometric = lq.mul(new Scalar(b)).add(lp.mul(new Scalar(1 - b))).exp();
        yield plus(geometric.sum(-1), -1).div(new Scalar(b * (b - 1)));
      }
    };
  }

  private static Tensor mixture(double share, Tensor first, Tensor second) {
    return plus(first, Math.log(share)).logaddexp(plus(second, Math.log1p(-share)));
  }

  private static Tensor kl(Tensor left, Tensor right) {
    return left.exp().mul(left.sub(right)).sum(-1);
  }

  private static Tensor plus(Tensor values, double constant) {
    return values.add(new Scalar(constant));
  }

  private static Tensor leaf(float[] values, int rows) {
    return Tensors.of(values, rows, values.length / rows).requires_grad_(true);
  }

  private static double largestError(Tensor leaf, Tensor loss, double[][] expected) {
    loss.backward();
    float[] gradient = new float[expected.length * expected[0].length];
    new FloatPointer(leaf.grad().contiguous().data_ptr_float()).get(gradient);
    double largest = 0;
    for (int r = 0; r < expected.length; r++) {
      for (int j = 0; j < expected[r].length; j++) {
        double error = Math.abs(gradient[r * expected[r].length + j] - expected[r][j]);
        largest = Double.isFinite(error) ? Math.max(largest, error) : largest;
      }
    }
    return largest;
  }
}
