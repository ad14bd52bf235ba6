package dev.polka.torch;

import dev.polka.kernel.Targets;
import java.util.Random;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * Hidden states, a head and targets, some of which are ignored, and the plain way to logits:
 * libtorch's autograd over the whole matrix.
 */
final class HeadCase {
  static final int ROWS = 37;
  static final int WIDTH = 24;
  static final int VOCABULARY = 131;

  final String name;
  final torch.ScalarType type;
  final Tensor hidden;
  final Tensor weight;
  final Tensor bias; // null: none
  final float scale;
  final float softcap; // 0: none
  final float temperature;
  final long[] targets;

  HeadCase(
      String name,
      torch.ScalarType type,
      boolean biased,
      float scale,
      float softcap,
      float temperature,
      int maskEvery) {
    this.name = name;
    this.type = type;
    Random random = new Random(name.hashCode());
    this.hidden = normal(random, 1, ROWS, WIDTH).to(type);
    this.weight = normal(random, 0.5f, VOCABULARY, WIDTH).to(type);
    this.bias = biased ? normal(random, 1, VOCABULARY).to(type) : null;
    this.scale = scale;
    this.softcap = softcap;
    this.temperature = temperature;
    this.targets = new long[ROWS];
    for (int r = 0; r < ROWS; r++) {
      boolean masked = maskEvery > 0 && r % maskEvery != 1;
      targets[r] = masked ? Targets.IGNORE_INDEX : random.nextInt(VOCABULARY);
    }
  }

  static HeadCase plain(torch.ScalarType type) {
    return new HeadCase("plain " + type, type, false, 1, 0, 1, 0);
  }

  static HeadCase masked(torch.ScalarType type) {
    return new HeadCase("masked " + type, type, true, 1, 0, 1, 3);
  }

  /** {@return each option alone and all together, in f32 and bf16} */
  static HeadCase[] all() {
    var f32 = torch.ScalarType.Float;
    var bf16 = torch.ScalarType.BFloat16;
    return new HeadCase[] {
      plain(f32),
      new HeadCase("bias", f32, true, 1, 0, 1, 0),
      new HeadCase("scale", f32, false, 0.5f, 0, 1, 0),
      new HeadCase("softcap", f32, false, 1, 4, 1, 0),
      new HeadCase("temperature", f32, false, 1, 0, 0.7f, 0),
      masked(f32),
      new HeadCase("everything", f32, true, 0.25f, 3, 1.5f, 2),
      plain(bf16),
      masked(bf16),
      new HeadCase("everything in bf16", bf16, true, 0.25f, 3, 1.5f, 2),
    };
  }

  static Tensor normal(Random random, float scale, long... shape) {
    long count = 1;
    for (long size : shape) {
      count *= size;
    }
    float[] values = new float[(int) count];
    for (int i = 0; i < values.length; i++) {
      values[i] = scale * (float) random.nextGaussian();
    }
    return Tensors.of(values, shape);
  }

  static float[] normal(Random random, int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  LinearHead head() {
    LinearHead head = LinearHead.of(weight).withScale(scale);
    return bias == null ? head : head.withBias(bias);
  }

  Targets targets() {
    return Targets.of(Torch.longs(Tensors.of(targets)));
  }

  /** Bytes with which a chunk has so many rows. */
  long budget(long rows) {
    return HeadChunks.fixedBytes(head()) + rows * HeadChunks.bytesPerRow(head(), true);
  }

  /** 1 where the row counts. */
  Tensor counted() {
    float[] values = new float[targets.length];
    for (int r = 0; r < values.length; r++) {
      values[r] = targets[r] == Targets.IGNORE_INDEX ? 0 : 1;
    }
    return Tensors.of(values, ROWS);
  }

  /** The plain way in a type: leaves and what is made of them. */
  final class Plain {
    final Tensor h;
    final Tensor w;
    final Tensor b;
    final Tensor products; // [N, V], hidden weight^T
    final Tensor logProbs; // [N, V], of the softened distribution, in f32 or f64

    Plain(torch.ScalarType as) {
      h = leaf(hidden, as);
      w = leaf(weight, as);
      b = bias == null ? null : leaf(bias, as);
      products = h.matmul(w.t());
      products.retain_grad();
      Tensor logits = products;
      if (b != null) {
        logits = logits.add(b);
      }
      if (as == torch.ScalarType.BFloat16) {
        logits = logits.to(torch.ScalarType.Float);
      }
      logits = logits.mul(new Scalar(scale));
      if (softcap != 0) {
        logits = logits.div(new Scalar(softcap)).tanh().mul(new Scalar(softcap));
      }
      logProbs = logits.div(new Scalar(temperature)).log_softmax(-1);
    }

    /**
     * After a backward pass: what the relative error of a number is multiplied with on its way into
     * a gradient. A logit is a sum, with an error in proportion to the sum of its |terms|, which is
     * the relative error of a probability; and a gradient is a sum over rows or columns.
     */
    double hiddenScale() {
      return logitScale() * TensorError.magnitude(products.grad().abs().matmul(w.abs()));
    }

    double weightScale() {
      return logitScale() * TensorError.magnitude(products.grad().abs().t().matmul(h.abs()));
    }

    double biasScale() {
      return logitScale() * TensorError.magnitude(products.grad().abs().sum(0));
    }

    private double logitScale() {
      return Math.max(1, TensorError.magnitude(h.abs().matmul(w.abs().t())));
    }

    /** {@code [N]}, 0 where ignored. */
    Tensor logProb() {
      Tensor index = Tensors.of(targets, ROWS, 1).clamp_min(new Scalar(0L));
      return logProbs.gather(1, index).view(-1).mul(counted());
    }

    /** {@code [N]}, 0 where ignored. */
    Tensor entropy() {
      return logProbs.exp().mul(logProbs).sum(-1).neg().mul(counted());
    }
  }

  private static Tensor leaf(Tensor tensor, torch.ScalarType as) {
    return tensor.to(as).detach().clone().requires_grad_(true);
  }

  @Override
  public String toString() {
    return name;
  }
}
