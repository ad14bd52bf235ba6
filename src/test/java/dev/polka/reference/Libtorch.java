package dev.polka.reference;

import dev.polka.torch.Tensors;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;

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
      Tensor lp = z.div(new Scalar((float) temperature)).log_softmax(-1);
      Tensor lq =
          Tensors.of(teacher, rows, teacher.length / rows)
              .div(new Scalar((float) teacherTemperature))
              .log_softmax(-1);
      Tensor value = value(divergence, lp, lq);
      return largestError(z, value.mul(Tensors.of(Storage.toF32(upstream), rows)).sum(), expected);
    }
  }

  private static Tensor value(ReferenceDivergence divergence, Tensor lp, Tensor lq) {
    double beta = divergence.beta();
    return switch (divergence.kind()) {
      case FORWARD_KL -> kl(lq, lp);
      case REVERSE_KL -> kl(lp, lq);
      case JSD -> {
        Tensor lm = plus(lq, Math.log(beta)).logaddexp(plus(lp, Math.log1p(-beta)));
        yield kl(lq, lm).mul(new Scalar(beta)).add(kl(lp, lm).mul(new Scalar(1 - beta)));
      }
    };
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
        largest = Math.max(largest, error);
      }
    }
    return largest;
  }
}
