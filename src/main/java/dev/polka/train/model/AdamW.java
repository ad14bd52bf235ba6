package dev.polka.train.model;

import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.LongArrayRefOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter, 2019), f32 moments:
 *
 * <pre>
 * w -= rate decay w                        (matrices; the weights of norms do not decay)
 * m += (1 - beta1) (g - m)
 * v  = beta2 v + (1 - beta2) g^2
 * w -= rate / (1 - beta1^t) m / (sqrt(v / (1 - beta2^t)) + eps)
 * </pre>
 *
 * <p>Written in in-place operations over all parameters at once, and not with libtorch's optimizer:
 * the state of that one is keyed by tensor addresses, so that it can be neither named in a file nor
 * compared. Deterministic. One thread at a time.
 */
public final class AdamW implements AutoCloseable {
  private static final String FIRST = "exp_avg.";
  private static final String SECOND = "exp_avg_sq.";
  private static final String STEP = "step";

  private final Parameters parameters;
  private final Options options;
  private final Tensor first;
  private final Tensor second;
  private final Tensor denominator;
  private long steps;

  /**
   * What does not change from step to step.
   *
   * @param beta1 decay of the first moment, in [0, 1)
   * @param beta2 decay of the second moment, in [0, 1)
   * @param eps added to the denominator, above 0
   * @param weightDecay at least 0
   */
  public record Options(double beta1, double beta2, double eps, double weightDecay) {
    /**
     * Checks the values.
     *
     * @param beta1 decay of the first moment
     * @param beta2 decay of the second moment
     * @param eps added to the denominator
     * @param weightDecay share of a weight that a step at rate 1 takes away
     * @throws IllegalArgumentException naming the value and the limit
     */
    public Options {
      require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "in [0, 1)");
      require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "in [0, 1)");
      require(eps > 0 && Double.isFinite(eps), "eps", eps, "finite and above 0");
      require(
          weightDecay >= 0 && Double.isFinite(weightDecay),
          "weightDecay",
          weightDecay,
          "finite and at least 0");
    }

    private static void require(boolean holds, String name, double value, String limit) {
      if (!holds) {
        throw new IllegalArgumentException(name + " is " + value + ", must be " + limit);
      }
    }
  }

  /**
   * An optimizer at step 0, its moments 0.
   *
   * @param parameters what it changes; stays the model's
   * @param options its constants
   */
  public AdamW(Parameters parameters, Options options) {
    this.parameters = parameters;
    this.options = options;
    try (PointerScope scope = new PointerScope()) {
      long size = parameters.values().numel();
      first = Scopes.keep(torch.zeros(size));
      second = Scopes.keep(torch.zeros(size));
      denominator = Scopes.keep(torch.zeros(size));
    }
  }

  /**
   * Scales all gradients down together so that their norm is at most the limit.
   *
   * @param maxNorm the limit, above 0; infinity only measures
   * @return the norm before, {@code sqrt(sum g^2)} over all parameters, in f64
   * @throws IllegalArgumentException if maxNorm is not above 0
   * @throws ArithmeticException if the norm is not finite, naming the parameters whose gradient is
   *     not; the gradients are left as they are
   */
  public double clipGradients(double maxNorm) {
    if (!(maxNorm > 0)) {
      throw new IllegalArgumentException("maxNorm is " + maxNorm + ", must be above 0");
    }
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      double norm = norm(parameters.gradients());
      if (!Double.isFinite(norm)) {
        List<String> names =
            parameters.views(parameters.gradients()).entrySet().stream()
                .filter(each -> !Double.isFinite(norm(each.getValue())))
                .map(Map.Entry::getKey)
                .toList();
        throw new ArithmeticException("the norm of the gradients is " + norm + " for " + names);
      }
      if (norm > maxNorm) {
        parameters.gradients().mul_(new Scalar(maxNorm / norm));
      }
      return norm;
    }
  }

  private static double norm(Tensor tensor) {
    return torch
        .linalg_vector_norm(
            tensor,
            new Scalar(2.0),
            new LongArrayRefOptional(),
            false,
            new ScalarTypeOptional(ScalarType.Double))
        .item_double();
  }

  /**
   * Changes the parameters by their gradients, which stay as they are.
   *
   * @param learningRate the rate of this step, finite and at least 0
   * @throws IllegalArgumentException if the rate is not
   */
  public void step(double learningRate) {
    if (!(learningRate >= 0 && learningRate < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "learningRate is " + learningRate + ", must be finite and at least 0");
    }
    steps++;
    double correction1 = 1 - StrictMath.pow(options.beta1(), steps);
    double correction2 = 1 - StrictMath.pow(options.beta2(), steps);
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      Tensor values = parameters.values();
      Tensor gradients = parameters.gradients();
      if (options.weightDecay() > 0) {
        values
            .narrow(0, 0, parameters.decayed())
            .mul_(new Scalar(1 - learningRate * options.weightDecay()));
      }
      first.lerp_(gradients, new Scalar(1 - options.beta1()));
      second
          .mul_(new Scalar(options.beta2()))
          .addcmul_(gradients, gradients, new Scalar(1 - options.beta2()));
      torch
          .sqrt_out(denominator, second)
          .div_(new Scalar(Math.sqrt(correction2)))
          .add_(new Scalar(options.eps()));
      values.addcdiv_(first, denominator, new Scalar(-learningRate / correction1));
    }
  }

  /**
   * Steps taken, those before a {@link #load} included.
   *
   * @return the number t of the last step
   */
  public long steps() {
    return steps;
  }

  /**
   * Writes moments and step number as safetensors: {@code exp_avg.NAME} and {@code exp_avg_sq.NAME}
   * for each parameter, the step in the metadata.
   *
   * @param file the file, replaced if it exists
   * @throws java.io.UncheckedIOException if it cannot be written
   */
  public void save(Path file) {
    try (SafetensorsCopy copy = copy()) {
      copy.write(file);
    }
  }

  /**
   * Moments and step number as they are now, for a file like that of {@link #save}.
   *
   * @return a copy; the caller closes it
   */
  public SafetensorsCopy copy() {
    try (PointerScope scope = new PointerScope()) {
      return SafetensorsCopy.of(moments(), Map.of(STEP, Long.toString(steps)));
    }
  }

  /**
   * Takes over what {@link #save} wrote, bit for bit.
   *
   * @param file the file
   * @throws InputException naming file and tensor if one is missing, unexpected, or of another
   *     shape or type; the optimizer is then as it was
   */
  public void load(Path file) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard();
        SafetensorsFile stored = SafetensorsFile.open(file)) {
      Map<String, Tensor> moments = moments();
      for (String name : stored.names()) {
        if (!moments.containsKey(name)) {
          throw new InputException(file + ": tensor " + name + " is unexpected");
        }
      }
      moments.forEach((name, moment) -> stored.require(name, moment.shape(), Set.of(DType.F32)));
      long step = step(file, stored.metadata().get(STEP));
      moments.forEach((name, moment) -> moment.copy_(stored.read(name)));
      steps = step;
    }
  }

  private static long step(Path file, String text) {
    try {
      return Long.parseLong(String.valueOf(text));
    } catch (NumberFormatException e) {
      throw new InputException(file + ": its metadata has the step " + text + ", not a number", e);
    }
  }

  private Map<String, Tensor> moments() {
    Map<String, Tensor> moments = new LinkedHashMap<>();
    parameters.views(first).forEach((name, view) -> moments.put(FIRST + name, view));
    parameters.views(second).forEach((name, view) -> moments.put(SECOND + name, view));
    return moments;
  }

  /** Frees the moments. */
  @Override
  public void close() {
    first.close();
    second.close();
    denominator.close();
  }
}
