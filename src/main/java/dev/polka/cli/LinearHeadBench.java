package dev.polka.cli;

import dev.polka.kernel.Backend;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.torch.LinearHead;
import dev.polka.torch.LinearLossResult;
import dev.polka.torch.LinearPolicyLoss;
import dev.polka.torch.Tensors;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Random;
import java.util.function.Supplier;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * What does a policy loss on a language model's head cost in time and memory, without the matrix of
 * logits and with it? Both get the same inputs and compute loss and gradients of hidden states and
 * weight. The plain way is what one writes in libtorch: product, log-softmax, gather, clipped
 * ratio, backward. Extra memory is the peak of resident memory less what was resident before and
 * the two gradients; what libtorch's GEMM takes in its first call and never gives back comes
 * before.
 */
final class LinearHeadBench {
  private static final long MIB = 1L << 20;
  private static final double CLIP = 0.2;
  private static final long SETTLING_MILLIS = 1000;
  private static final long FIRST_ROWS = 256; // as large as a chunk, near enough

  private final PrintWriter out;
  private final long rows;
  private final long width;
  private final long vocabulary;
  private final long budget;
  private final boolean bf16;
  private final int runs;

  /**
   * Seconds on the clock and of processors, of the run with the median clock; bytes beside the
   * gradients; and the loss, as a check that both do the same.
   */
  private record Cost(double seconds, double processors, long extra, double loss) {}

  LinearHeadBench(
      PrintWriter out,
      long rows,
      long width,
      long vocabulary,
      long budgetMib,
      boolean bf16,
      int runs) {
    this.out = out;
    this.rows = rows;
    this.width = width;
    this.vocabulary = vocabulary;
    this.budget = budgetMib * MIB;
    this.bf16 = bf16;
    this.runs = runs;
  }

  void run() {
    print(
        "linear head, %s, N %d, D %d, V %d; %d threads, OMP_WAIT_POLICY %s, chunks of %d MiB",
        bf16 ? "bf16" : "f32",
        rows,
        width,
        vocabulary,
        torch.get_num_threads(),
        System.getenv().getOrDefault("OMP_WAIT_POLICY", "not set"),
        budget / MIB);
    Backend.threads(torch.get_num_threads());
    warmUp();
    try (PointerScope scope = new PointerScope()) {
      Inputs all = new Inputs(rows);
      settle();
      long kept = ProcessUse.resident();
      polka(PolicyLoss.grpo(), all.first(Math.min(rows, FIRST_ROWS)));
      settle();
      kept = ProcessUse.resident() - kept;
      print(
          "libtorch's GEMM keeps %.0f MB of its own from the first call on, either way",
          kept / 1e6);
      print("%-34s %10s %12s %14s", "", "seconds", "CPU seconds", "extra memory");
      Cost token = measure(() -> polka(PolicyLoss.grpo(), all), all, 4);
      print("Polka, token ratios (GRPO)", token);
      comparePlain(all, token);
      print("Polka, sequence ratios (GSPO)", measure(() -> polka(PolicyLoss.gspo(), all), all, 4));
    }
    out.flush();
  }

  /** Of an element of hidden states and weight; libtorch's gradients are of their type. */
  private int bytes() {
    return bf16 ? 2 : 4;
  }

  private void comparePlain(Inputs all, Cost token) {
    long plainRows = rows;
    while (plainRows > 1 && plainBytes(plainRows) > ProcessUse.available() * 4 / 5) {
      plainRows /= 2;
    }
    if (plainRows == rows) {
      compare(all, token);
      return;
    }
    print(
        "The plain way needs about %.1f GB, of which %.1f are free; it gets %d rows, as does Polka:",
        plainBytes(rows) / 1e9, ProcessUse.available() / 1e9, plainRows);
    Inputs part = all.first(plainRows);
    Cost own = measure(() -> polka(PolicyLoss.grpo(), part), part, 4);
    print("Polka, token ratios (GRPO)", own);
    compare(part, own);
  }

  private void compare(Inputs inputs, Cost polka) {
    Cost plain = measure(() -> plain(inputs), inputs, bytes());
    print("libtorch, the plain way", plain);
    print(
        "Polka takes %.2f times the time and %.3f times the memory (loss %.6f and %.6f).",
        polka.seconds / plain.seconds, (double) polka.extra / plain.extra, polka.loss, plain.loss);
  }

  /** Logits, log-softmax, and the gradient of each. */
  private long plainBytes(long someRows) {
    return someRows * vocabulary * (bf16 ? 12 + 8 : 16);
  }

  /** Loads libraries and compiles. */
  private void warmUp() {
    var small = new LinearHeadBench(out, 64, width, 2048, budget / MIB, bf16, 1);
    try (PointerScope scope = new PointerScope()) {
      Inputs inputs = small.new Inputs(64);
      for (int i = 0; i < 20; i++) {
        small.polka(PolicyLoss.grpo(), inputs);
        small.polka(PolicyLoss.gspo(), inputs);
        small.plain(inputs);
      }
    }
  }

  private Cost measure(Supplier<Double> work, Inputs inputs, int weightGradient) {
    Cost[] costs = new Cost[runs];
    long gradients = vocabulary * width * weightGradient + inputs.hidden.numel() * bytes();
    for (int i = 0; i < runs; i++) {
      settle();
      ProcessUse.forgetPeak();
      long before = ProcessUse.resident();
      long processors = ProcessUse.processorNanos();
      long start = System.nanoTime();
      double loss = work.get();
      double seconds = (System.nanoTime() - start) / 1e9;
      processors = ProcessUse.processorNanos() - processors;
      long extra = ProcessUse.peak() - before - gradients;
      costs[i] = new Cost(seconds, processors / 1e9, extra, loss);
    }
    Arrays.sort(costs, Comparator.comparingDouble(Cost::seconds));
    return costs[runs / 2];
  }

  /** The JVM gives heap back some time after a collection, which is none of this. */
  private static void settle() {
    System.gc();
    try {
      Thread.sleep(SETTLING_MILLIS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  private double polka(PolicyLoss objective, Inputs in) {
    try (Longs targets = Longs.copyOf(in.targets);
        Longs offsets = Longs.copyOf(0, in.targets.length / 2, in.targets.length);
        Floats old = Floats.copyOf(in.old);
        Floats advantages = Floats.copyOf(in.advantages);
        LinearLossResult result =
            LinearPolicyLoss.of(objective)
                .withMemoryBudget(budget)
                .forwardBackward(
                    in.hidden,
                    LinearHead.of(in.weight),
                    TokenBatch.of(targets, offsets).withOld(old).withTokenAdvantages(advantages),
                    Normalizer.tokens(in.targets.length))) {
      return result.loss();
    }
  }

  private double plain(Inputs in) {
    try (PointerScope scope = new PointerScope()) {
      Tensor hidden = in.hidden.detach().requires_grad_(true);
      Tensor weight = in.weight.detach().requires_grad_(true);
      Tensor logits = hidden.matmul(weight.t());
      Tensor wide = bf16 ? logits.to(torch.ScalarType.Float) : logits;
      int n = in.targets.length;
      Tensor logProb = wide.log_softmax(-1).gather(1, Tensors.of(in.targets, n, 1)).view(-1);
      Tensor ratio = logProb.sub(Tensors.of(in.old)).exp();
      Tensor held =
          ratio.clamp(
              new ScalarOptional(new Scalar(1 - CLIP)), new ScalarOptional(new Scalar(1 + CLIP)));
      Tensor advantages = Tensors.of(in.advantages);
      Tensor loss = torch.min(ratio.mul(advantages), held.mul(advantages)).mean().neg();
      loss.backward();
      return loss.item_double();
    }
  }

  private void print(String format, Object... arguments) {
    out.printf(format + "%n", arguments);
    out.flush();
  }

  private void print(String what, Cost cost) {
    print("%-34s %10.2f %12.2f %11.0f MB", what, cost.seconds, cost.processors, cost.extra / 1e6);
  }

  /** The same for both ways; old log-probs are about where a random head puts them. */
  private final class Inputs {
    final Tensor hidden;
    final Tensor weight;
    final long[] targets;
    final float[] old;
    final float[] advantages;

    Inputs(long count) {
      torch.manual_seed(1);
      Scalar scale = new Scalar(1 / Math.sqrt(width));
      torch.ScalarType type = bf16 ? torch.ScalarType.BFloat16 : torch.ScalarType.Float;
      hidden = torch.randn(count, width).to(type);
      weight = torch.randn(vocabulary, width).mul_(scale).to(type);
      Random random = new Random(2);
      targets = random.longs(count, 0, vocabulary).toArray();
      old = new float[(int) count];
      advantages = new float[(int) count];
      for (int i = 0; i < old.length; i++) {
        old[i] = (float) (-Math.log(vocabulary) - 0.5 + 0.1 * random.nextGaussian());
        advantages[i] = (float) random.nextGaussian();
      }
    }

    private Inputs(Inputs of, int count) {
      hidden = of.hidden.narrow(0, 0, count);
      weight = of.weight;
      targets = Arrays.copyOf(of.targets, count);
      old = Arrays.copyOf(of.old, count);
      advantages = Arrays.copyOf(of.advantages, count);
    }

    Inputs first(long count) {
      return new Inputs(this, (int) count);
    }
  }
}
