package dev.polka.torch;

import static dev.polka.torch.TensorError.assertClose;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.LogProbGradients;
import dev.polka.kernel.LogProbs;
import dev.polka.kernel.Targets;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.reference.FiniteDifference;
import java.util.Arrays;
import java.util.Random;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Gradients of the linear head against what no autograd has made, and over many rows. */
class LinearGradientsTest {
  private PointerScope scope;

  @BeforeEach
  void open() {
    scope = new PointerScope();
  }

  @AfterEach
  void close() {
    scope.close();
  }

  private static Tensor tensor(Floats values) {
    return Tensors.of(values.toArray());
  }

  private static Floats upstream(long seed) {
    return Floats.copyOf(HeadCase.normal(new Random(seed), HeadCase.ROWS));
  }

  private static LinearGradients gradients(HeadCase c, Floats a, Floats b) {
    LogProb kernel = LogProb.atTemperature(c.temperature).withSoftcap(c.softcap).withEntropy();
    LinearLogProb operation = LinearLogProb.of(kernel).withMemoryBudget(c.budget(7));
    try (LogProbs saved = operation.forward(c.hidden, c.head(), c.targets())) {
      return operation.backward(
          c.hidden, c.head(), c.targets(), saved, LogProbGradients.of(a).withEntropy(b));
    }
  }

  @Test
  void overManyRowsABf16WeightsGradientIsBetterThanLibtorchs() {
    Random random = new Random(12);
    int rows = 1024;
    Tensor hidden = HeadCase.normal(random, 1, rows, 64).to(torch.ScalarType.BFloat16);
    Tensor weight = HeadCase.normal(random, 0.2f, 300, 64).to(torch.ScalarType.BFloat16);
    long[] ids = new long[rows];
    Arrays.setAll(ids, r -> random.nextInt(300));
    float[] upstream = HeadCase.normal(random, rows);
    Tensor exact = plainWeightGradient(hidden, weight, torch.ScalarType.Double, ids, upstream);
    Tensor libtorch = plainWeightGradient(hidden, weight, torch.ScalarType.BFloat16, ids, upstream);
    LinearLogProb operation = LinearLogProb.of(LogProb.plain()).withMemoryBudget(200_000);
    try (Longs targets = Longs.copyOf(ids);
        Floats a = Floats.copyOf(upstream);
        LogProbs saved = operation.forward(hidden, LinearHead.of(weight), Targets.of(targets));
        LinearGradients g =
            operation.backward(
                hidden,
                LinearHead.of(weight),
                Targets.of(targets),
                saved,
                LogProbGradients.of(a))) {
      double ours = TensorError.meanSquare(Torch.tensor(g.weight()), exact);
      assertThat(ours).isPositive().isLessThan(0.9 * TensorError.meanSquare(libtorch, exact));
    }
  }

  private static Tensor plainWeightGradient(
      Tensor hidden, Tensor weight, torch.ScalarType as, long[] ids, float[] upstream) {
    Tensor w = weight.to(as).clone().requires_grad_(true);
    Tensor logits = hidden.to(as).matmul(w.t());
    Tensor wide = as == torch.ScalarType.BFloat16 ? logits.to(torch.ScalarType.Float) : logits;
    Tensor logProb = wide.log_softmax(-1).gather(1, Tensors.of(ids, ids.length, 1)).view(-1);
    logProb.mul(Tensors.of(upstream)).sum().backward();
    return w.grad();
  }

  @Test
  void gradientsAreThoseOfFiniteDifferences() {
    HeadCase c = new HeadCase("differences", torch.ScalarType.Float, true, 0.5f, 3, 0.7f, 2);
    try (Floats a = upstream(3);
        Floats b = upstream(4);
        LinearGradients g = gradients(c, a, b)) {
      double[] at = doubles(c.hidden);
      double[] expected =
          FiniteDifference.gradient(h -> loss(c, h, doubles(c.weight), a, b), at, 1e-3);
      assertClose("hidden", Torch.tensor(g.hidden()), Tensors.of(expected), 1e-5);
      double[] weights = Arrays.copyOf(doubles(c.weight), 2 * HeadCase.WIDTH);
      double[] rest = doubles(c.weight);
      double[] firstRows =
          FiniteDifference.gradient(
              w -> {
                double[] all = rest.clone();
                System.arraycopy(w, 0, all, 0, w.length);
                return loss(c, at, all, a, b);
              },
              weights,
              1e-3);
      Tensor ours = Torch.tensor(g.weight()).narrow(0, 0, 2);
      assertClose("weight", ours, Tensors.of(firstRows), 1e-5);
    }
  }

  private static double[] doubles(Tensor tensor) {
    return Torch.doubles(tensor.to(torch.ScalarType.Double).reshape(-1)).toArray();
  }

  /** No autograd in it. */
  private static double loss(HeadCase c, double[] hidden, double[] weight, Floats a, Floats b) {
    try (PointerScope inner = new PointerScope()) {
      Tensor h = Tensors.of(hidden, HeadCase.ROWS, HeadCase.WIDTH);
      Tensor w = Tensors.of(weight, HeadCase.VOCABULARY, HeadCase.WIDTH);
      Tensor z = h.matmul(w.t()).add(c.bias).mul(new Scalar(c.scale));
      z = z.div(new Scalar(c.softcap)).tanh().mul(new Scalar(c.softcap));
      Tensor lp = z.div(new Scalar(c.temperature)).log_softmax(-1);
      Tensor index = Tensors.of(c.targets, HeadCase.ROWS, 1).clamp_min(new Scalar(0L));
      Tensor terms =
          lp.gather(1, index).view(-1).mul(tensor(a)).sub(lp.exp().mul(lp).sum(-1).mul(tensor(b)));
      return terms.mul(c.counted()).sum().item_double();
    }
  }
}
