package dev.polka.policy;

import dev.polka.kernel.TokenLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;

/**
 * Makes up for tokens that another policy drew than the one that trains: an engine with other
 * kernels or types, or weights of some steps ago. From log-probs under the proximal policy ({@code
 * old}) and under the sampler ({@code rollout}) come a weight for each token and the tokens that
 * stay. The steps, each off unless asked for, in the order in which they run:
 *
 * <ol>
 *   <li><b>Veto</b> ({@link #withVeto}): drops a sequence with a token whose weight is extreme.
 *   <li><b>Rejection</b> ({@link #withRejection}): drops tokens or sequences whose KL estimate is
 *       out of range. All tests, and the veto, are judged on what counted at first; what fails one
 *       is dropped.
 *   <li><b>Sequence mask</b> ({@link #withSequenceMask}): drops sequences with a negative advantage
 *       that have drifted; judged on what counted at first, too.
 *   <li><b>Second moment</b> ({@link #withSecondMoment}): drops the tokens farthest off until the
 *       mean squared log-ratio of those left is below a bound. Of those left by 1 to 3.
 *   <li><b>Weights</b> ({@link #withWeights}): of tokens, sequences or geometric means over all
 *       that counted at first (a sequence was drawn as a whole), then held within their range.
 *   <li><b>Normalisation</b> ({@link #withNormalizedWeights}): weights are divided by their mean
 *       over what is left by 1 to 4.
 * </ol>
 *
 * <p>{@code d = old - rollout}; before exp it, its sum or its mean is clamped to [-20, 20]. What
 * stands at a row that does not count is never read. The weights have no gradient. Steps 4 and 6
 * depend on the other tokens: give them the whole optimizer step, not micro-batches; all others
 * need whole sequences only.
 *
 * <p>The result feeds the batch: <b>decoupled</b>, with {@code old} for the ratio and weights
 * beside it (AReaL's decoupled PPO, Hilton et al. 2022; verl's default), or <b>bypassing</b> the
 * proximal policy ({@link #withBypass}), with {@code rollout} for the ratio:
 *
 * <pre>{@code
 * Correction c = OffPolicyCorrection.none()
 *     .withRejection(Rejection.ofRatio(Scope.SEQUENCE_MEAN, 0.999, 1.001))
 *     .withWeights(ImportanceWeight.truncatedTokens(2))
 *     .apply(layout, old, rollout);
 * batch.withOld(Floats.copyOf(c.old())).withWeights(Floats.copyOf(c.weights()))
 *     .withMask(c.kept().mask());
 * }</pre>
 *
 * <p>verl normalises weights before it rejects. In all peers clip and dual clip come before the
 * weights (see {@code PolicyLoss}).
 *
 * <p>Immutable and thread-safe.
 */
public final class OffPolicyCorrection {
  private final Options options;

  /** What the steps go by; infinities and null are "off". Never changed once it is in use. */
  static final class Options implements Cloneable {
    double maxLogRatio = 20;
    double vetoLow;
    double vetoHigh = Double.POSITIVE_INFINITY;
    List<Rejection> rejections = List.of();
    double maxDrift = Double.POSITIVE_INFINITY;
    double maxSecondMoment = Double.POSITIVE_INFINITY;
    ImportanceWeight weight;
    boolean normalized;
    boolean bypass;

    @Override
    public Options clone() {
      try {
        return (Options) super.clone();
      } catch (CloneNotSupportedException impossible) {
        throw new AssertionError(impossible);
      }
    }
  }

  private OffPolicyCorrection(Options options) {
    this.options = options;
  }

  /** {@return no correction: every token stays, with weight 1} */
  public static OffPolicyCorrection none() {
    return new OffPolicyCorrection(new Options());
  }

  private OffPolicyCorrection with(Consumer<Options> change) {
    Options changed = options.clone();
    change.accept(changed);
    return new OffPolicyCorrection(changed);
  }

  /**
   * Clamps log-ratios before exp.
   *
   * @param maxLogRatio the bound; 20 unless set (verl, SkyRL); infinity for none (TRL)
   * @return the correction with it
   * @throws IllegalArgumentException if it is not > 0
   */
  public OffPolicyCorrection withMaxLogRatio(double maxLogRatio) {
    if (!(maxLogRatio > 0)) {
      throw new IllegalArgumentException("maxLogRatio: " + maxLogRatio + " is not > 0");
    }
    return with(o -> o.maxLogRatio = maxLogRatio);
  }

  /**
   * Drops sequences with a token whose weight is outside a range: {@code exp(d_t) < low} or {@code
   * > high}. [1e-4, 100] in SkyRL; slime has 1e-4 alone.
   *
   * @param low lower bound; 0 for none
   * @param high upper bound; infinity for none
   * @return the correction with it
   * @throws IllegalArgumentException if {@code low} is negative, or not at most {@code high}
   */
  public OffPolicyCorrection withVeto(double low, double high) {
    Check.notNegative("veto: low", low);
    Check.range("veto", low, high);
    return with(
        o -> {
          o.vetoLow = low;
          o.vetoHigh = high;
        });
  }

  /**
   * Adds a test; every one has to be passed.
   *
   * @param rejection what is dropped
   * @return the correction with it
   */
  public OffPolicyCorrection withRejection(Rejection rejection) {
    var all = new ArrayList<>(options.rejections);
    all.add(Objects.requireNonNull(rejection, "rejection"));
    return with(o -> o.rejections = List.copyOf(all));
  }

  /**
   * Drops sequences with {@code A < 0} and {@code mean(rollout - old) > maxDrift} (DeepSeek-V3.2).
   * slime 1e-4, from old log-probs as here; TRL has current ones, which is {@code
   * PolicyLoss.withOffPolicyMask}.
   *
   * @param maxDrift the bound, in nats
   * @return the correction with it
   * @throws IllegalArgumentException if it is not finite and >= 0
   */
  public OffPolicyCorrection withSequenceMask(double maxDrift) {
    Check.notNegative("maxDrift", maxDrift);
    return with(o -> o.maxDrift = maxDrift);
  }

  /**
   * Drops the tokens with the largest {@code d^2}, the lower row first among equals, until the mean
   * over those left is below a bound (M2PO, Zheng et al. 2025; AReaL).
   *
   * @param bound what the mean has to be below; 0.04 in the paper
   * @return the correction with it
   * @throws IllegalArgumentException if it is not finite and > 0
   */
  public OffPolicyCorrection withSecondMoment(double bound) {
    Check.positive("secondMoment", bound);
    return with(o -> o.maxSecondMoment = bound);
  }

  /**
   * Weighs tokens; without it all weights are 1.
   *
   * @param weight which weights, and their range
   * @return the correction with it
   */
  public OffPolicyCorrection withWeights(ImportanceWeight weight) {
    Objects.requireNonNull(weight, "weight");
    return with(o -> o.weight = weight);
  }

  /**
   * Divides weights by their mean (verl {@code rollout_is_batch_normalize}, slime): over tokens for
   * token weights, over the means of sequences for the others. A mean of at most 1e-8 is left
   * alone.
   *
   * @return the correction with it
   */
  public OffPolicyCorrection withNormalizedWeights() {
    return with(o -> o.normalized = true);
  }

  /**
   * Takes the sampler for the old policy (verl {@code bypass_mode}): the loss's ratio is over
   * {@code rollout}, and there is no proximal policy. Give {@link #apply} current log-probs for
   * {@code old}, in each micro-batch anew. A clipped ratio corrects already: with weights as well,
   * the loss should be {@code PolicyLoss.reinforce()} (verl {@code bypass_pg_is}).
   *
   * @return the correction with it
   */
  public OffPolicyCorrection withBypass() {
    return with(o -> o.bypass = true);
  }

  /**
   * Runs the steps, which must not include the sequence mask.
   *
   * @param layout the tokens
   * @param old log-probs under the proximal policy, one per row
   * @param rollout log-probs under the sampler, one per row
   * @return weights and the tokens that stay
   * @throws IllegalArgumentException if sizes do not fit, a {@code rollout} that counts is not
   *     finite, an {@code old} that counts is NaN or infinity, or there is a sequence mask
   */
  public Correction apply(TokenLayout layout, double[] old, double[] rollout) {
    return apply(layout, old, rollout, (double[]) null);
  }

  /**
   * Runs the steps.
   *
   * @param layout the tokens
   * @param old log-probs under the proximal policy, one per row
   * @param rollout log-probs under the sampler, one per row
   * @param advantages one per sequence, for the sequence mask; else not read
   * @return weights and the tokens that stay
   * @throws IllegalArgumentException if sizes do not fit, a {@code rollout} that counts is not
   *     finite, or an {@code old} that counts is NaN or infinity
   */
  public Correction apply(
      TokenLayout layout, double[] old, double[] rollout, double... advantages) {
    var run = new CorrectionRun(options, layout, old, rollout);
    run.veto();
    run.reject();
    run.maskSequences(advantages);
    run.boundSecondMoment();
    run.weigh();
    run.normalize();
    return run.result();
  }

  /** {@return the steps that are on, in the order in which they run} */
  @Override
  public String toString() {
    var steps = new ArrayList<String>();
    Options o = options;
    if (o.vetoLow > 0 || o.vetoHigh < Double.POSITIVE_INFINITY) {
      steps.add("veto outside [" + o.vetoLow + ", " + o.vetoHigh + "]");
    }
    o.rejections.forEach(rejection -> steps.add(rejection.toString()));
    if (o.maxDrift < Double.POSITIVE_INFINITY) {
      steps.add("sequence mask " + o.maxDrift);
    }
    if (o.maxSecondMoment < Double.POSITIVE_INFINITY) {
      steps.add("second moment < " + o.maxSecondMoment);
    }
    if (o.weight != null) {
      steps.add(o.weight.toString());
    }
    if (o.normalized) {
      steps.add("normalized");
    }
    if (o.bypass) {
      steps.add("bypass");
    }
    return steps.isEmpty() ? "no correction" : String.join(", ", steps);
  }
}
