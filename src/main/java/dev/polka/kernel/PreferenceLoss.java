package dev.polka.kernel;

import dev.polka.kernel.Preferences.Form;
import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.PreferenceLossStruct;
import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Doubles;
import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Losses that learn from comparisons of whole responses, and their gradients for the responses'
 * scores. With u = beta (score - reference), and for each pair of a better response i and a worse
 * one j {@code h = u_i - bias u_j - margin}:
 *
 * <pre>{@code
 * Bradley-Terry, DPO, SimPO, CPL  -(1 - e) ln sigmoid(h) - e ln sigmoid(-h), e the label smoothing
 * hinge                           max(0, 1 - h)
 * IPO                             ((h - 1/2) / beta)^2
 * KTO       desirable             w_d sigmoid(-k), k = u - beta referencePoint
 *           undesirable           w_u sigmoid(k)
 * BRAIn                           sum_i a_i ln(a_i / b_i), a = softmax(target - reference), b = softmax(u)
 * }</pre>
 *
 * <p>A group's loss is the mean over its pairs; the loss is the weighted sum over groups (KTO:
 * responses) over the divisor of the {@link Normalizer}. Everything is f64 on the host. The
 * gradient of a log-prob is that of its response's score (for a mean score, over the number of
 * tokens), and goes on through {@link LogProb}. A NaN or infinite loss of a group shows in the loss
 * and in the metrics.
 *
 * <p>Immutable and thread-safe.
 */
public final class PreferenceLoss {
  /** What a margin costs. */
  public enum Shape {
    /** Logistic: Bradley-Terry's likelihood. */
    SIGMOID,
    /** {@code max(0, 1 - h)}: SLiC (Zhao et al. 2023); TRL {@code hinge}. */
    HINGE,
    /** Squared distance from 1 / (2 beta): Azar et al. 2023; TRL {@code ipo}. */
    IPO
  }

  private final int kind;
  private final Form form;
  private final double beta;
  private final double margin;
  private final double bias;
  private final double smoothing;
  private final double desirableWeight;
  private final double undesirableWeight;

  private PreferenceLoss(
      int kind,
      Form form,
      double beta,
      double margin,
      double bias,
      double smoothing,
      double desirableWeight,
      double undesirableWeight) {
    this.kind = kind;
    this.form = form;
    this.beta = positive("beta", beta);
    this.margin = Require.finite("margin", margin);
    this.bias = bias;
    this.smoothing = smoothing;
    this.desirableWeight = Require.finite("desirableWeight", desirableWeight);
    this.undesirableWeight = Require.finite("undesirableWeight", undesirableWeight);
    if (!(bias > 0 && bias <= 1)) {
      throw new IllegalArgumentException("bias: " + bias + " is not in (0, 1]");
    }
    if (!(smoothing >= 0 && smoothing <= 1)) {
      throw new IllegalArgumentException("labelSmoothing: " + smoothing + " is not in [0, 1]");
    }
    if (smoothing != 0 && kind != PolkaNative.POLKA_PREFERENCE_SIGMOID) {
      throw new IllegalArgumentException(
          "labelSmoothing: " + smoothing + " belongs to the shape SIGMOID");
    }
  }

  private static double positive(String name, double value) {
    if (!(value > 0) || value == Double.POSITIVE_INFINITY) {
      throw new IllegalArgumentException(name + ": " + value + " is not finite and > 0");
    }
    return value;
  }

  private static PreferenceLoss ofPairs(double beta, double margin, double bias) {
    return new PreferenceLoss(
        PolkaNative.POLKA_PREFERENCE_SIGMOID, Form.RANKED, beta, margin, bias, 0, 1, 1);
  }

  /**
   * {@return the loss of a reward model: {@code -ln sigmoid(r_chosen - r_rejected)}} Bradley and
   * Terry 1952, Ouyang et al. 2022. Takes rewards without a reference.
   */
  public static PreferenceLoss bradleyTerry() {
    return ofPairs(1, 0, 1);
  }

  /**
   * The loss of DPO (Rafailov et al. 2023). Takes sums of log-probs and of the reference's. TRL,
   * OpenRLHF, NeMo-RL and AReaL; {@code withLabelSmoothing} makes it cDPO, {@code withShape} the
   * hinge or IPO.
   *
   * @param beta the scale of the implied reward; 0.1 in TRL
   * @return the loss
   * @throws IllegalArgumentException if {@code beta} is not finite and > 0
   */
  public static PreferenceLoss dpo(double beta) {
    return ofPairs(beta, 0, 1);
  }

  /**
   * The loss of SimPO (Meng et al. 2024): {@code h = beta (mean_chosen - mean_rejected) - gamma}.
   * Takes means of log-probs, without a reference.
   *
   * @param beta the scale of the implied reward
   * @param gamma the margin that is asked for; the authors' code takes gamma / beta
   * @return the loss
   * @throws IllegalArgumentException if {@code beta} is not finite and > 0, or {@code gamma} not
   *     finite
   */
  public static PreferenceLoss simpo(double beta, double gamma) {
    return ofPairs(beta, gamma, 1);
  }

  /**
   * The loss of contrastive preference learning (Hejna et al. 2023): {@code h = alpha (log-prob of
   * the better segment - bias log-prob of the worse)}. Takes sums of log-probs over segments; with
   * a reference, the authors' {@code cpl_kl}. At bias 1 it is DPO.
   *
   * @param alpha the scale; 0.1 in the authors' code
   * @param bias how much the worse one counts, in (0, 1]; 0.5 in the authors' configurations
   * @return the loss
   * @throws IllegalArgumentException if one is out of range
   */
  public static PreferenceLoss cpl(double alpha, double bias) {
    return ofPairs(alpha, 0, bias);
  }

  /**
   * The loss of KTO (Ethayarajh et al. 2024), for labelled responses.
   *
   * @param beta the scale of the implied reward; 0.1 in TRL
   * @return the loss, both weights 1
   * @throws IllegalArgumentException if {@code beta} is not finite and > 0
   */
  public static PreferenceLoss kto(double beta) {
    return new PreferenceLoss(PolkaNative.POLKA_PREFERENCE_KTO, Form.LABELLED, beta, 0, 1, 0, 1, 1);
  }

  /**
   * {@return the loss of BRAIn, for groups of samples: KL from the reward-conditioned posterior to
   * the policy, both normalised over the group} Pandey et al. 2024. Its gradient is b - a: the
   * second softmax is the self-normalised baseline.
   */
  public static PreferenceLoss brain() {
    return new PreferenceLoss(
        PolkaNative.POLKA_PREFERENCE_POSTERIOR, Form.SAMPLED, 1, 0, 1, 0, 1, 1);
  }

  /**
   * Chooses what a margin costs.
   *
   * @param shape the shape; SIGMOID unless set
   * @return the loss with it
   * @throws IllegalArgumentException if the loss is not one of pairs, or has label smoothing, which
   *     belongs to SIGMOID
   */
  public PreferenceLoss withShape(Shape shape) {
    requireRanked("shape");
    int code =
        switch (shape) {
          case SIGMOID -> PolkaNative.POLKA_PREFERENCE_SIGMOID;
          case HINGE -> PolkaNative.POLKA_PREFERENCE_HINGE;
          case IPO -> PolkaNative.POLKA_PREFERENCE_IPO;
        };
    return new PreferenceLoss(
        code, form, beta, margin, bias, smoothing, desirableWeight, undesirableWeight);
  }

  /**
   * Takes each preference for wrong with some probability (cDPO, Mitchell 2023).
   *
   * @param epsilon the probability, in [0, 1]; 0 unless set
   * @return the loss with it
   * @throws IllegalArgumentException if it is out of range, or the shape is not SIGMOID
   */
  public PreferenceLoss withLabelSmoothing(double epsilon) {
    requireRanked("labelSmoothing");
    return new PreferenceLoss(
        kind, form, beta, margin, bias, epsilon, desirableWeight, undesirableWeight);
  }

  /**
   * Asks the better response to be ahead by a margin.
   *
   * @param margin what is subtracted from h; 0 unless set
   * @return the loss with it
   * @throws IllegalArgumentException if it is not finite, or the loss is not one of pairs
   */
  public PreferenceLoss withMargin(double margin) {
    requireRanked("margin");
    return new PreferenceLoss(
        kind, form, beta, margin, bias, smoothing, desirableWeight, undesirableWeight);
  }

  private void requireRanked(String option) {
    if (form != Form.RANKED) {
      throw new IllegalArgumentException(option + ": belongs to losses of pairs, not to " + this);
    }
  }

  /**
   * Weighs the two kinds of labelled responses, so that they balance.
   *
   * @param desirable weight of desirable responses; 1 unless set
   * @param undesirable weight of undesirable ones; 1 unless set
   * @return the loss with them
   * @throws IllegalArgumentException if one is not finite, or the loss is not KTO
   */
  public PreferenceLoss withLabelWeights(double desirable, double undesirable) {
    if (form != Form.LABELLED) {
      throw new IllegalArgumentException("labelWeights: belong to KTO, not to " + this);
    }
    return new PreferenceLoss(kind, form, beta, margin, bias, smoothing, desirable, undesirable);
  }

  /**
   * Computes loss and metrics.
   *
   * @param preferences the responses
   * @param normalizer what the sum is divided by, such as {@code Normalizer.constant(pairs)}
   * @return a result without gradient; close it
   * @throws IllegalArgumentException if parts of the input do not fit each other or this loss, or
   *     group offsets fall
   */
  public PreferenceLossResult forward(Preferences preferences, Normalizer normalizer) {
    return filled(preferences, normalizer, false);
  }

  /**
   * Computes loss, metrics and the gradient for the scores.
   *
   * @param preferences the responses
   * @param normalizer what the sum is divided by, such as {@code Normalizer.constant(pairs)}
   * @return a result with gradient; close it
   * @throws IllegalArgumentException if parts of the input do not fit each other or this loss, or
   *     group offsets fall
   */
  public PreferenceLossResult forwardBackward(Preferences preferences, Normalizer normalizer) {
    return filled(preferences, normalizer, true);
  }

  private PreferenceLossResult filled(
      Preferences preferences, Normalizer normalizer, boolean gradient) {
    requireFits(preferences, normalizer);
    PreferenceLossResult out =
        gradient
            ? PreferenceLossResult.allocate(preferences)
            : PreferenceLossResult.withoutGradient(preferences);
    try {
      run(preferences, normalizer, out, gradient ? out.gradient() : null);
      return out;
    } catch (RuntimeException failure) {
      out.close();
      throw failure;
    }
  }

  /**
   * Computes loss, metrics and the gradient into memory that exists. Allocates nothing.
   *
   * @param preferences the responses
   * @param normalizer what the sum is divided by
   * @param out written
   * @throws IllegalArgumentException if parts of the input do not fit each other, this loss or
   *     {@code out}, or group offsets fall
   * @throws IllegalStateException if {@code out} has no gradient
   */
  public void forwardBackward(
      Preferences preferences, Normalizer normalizer, PreferenceLossResult out) {
    requireFits(preferences, normalizer);
    run(preferences, normalizer, out, out.gradient());
  }

  private void requireFits(Preferences p, Normalizer normalizer) {
    Objects.requireNonNull(normalizer, "normalizer");
    if (p.form != form) {
      throw new IllegalArgumentException(
          "preferences: are " + p.form + ", but " + this + " takes " + form);
    }
    if (normalizer.tokenCounts() != null) {
      throw new IllegalArgumentException("normalizer: has token counts, but there are no tokens");
    }
  }

  private void run(
      Preferences p, Normalizer normalizer, PreferenceLossResult out, Doubles gradientOut) {
    long count = p.scores.size();
    long units = p.units();
    NativeCall call = NativeCall.enter();
    try {
      ByteBuffer struct = call.begin(PreferenceLossStruct.SIZE);
      call.in("scores", p.scores, count, PreferenceLossStruct.SCORES);
      if (p.groups != null) {
        call.inAtLeast(
            "groups", p.groups.offsets(units), units + 1, PreferenceLossStruct.GROUP_OFFSETS);
        struct.putLong(PreferenceLossStruct.GROUPS, units);
      }
      call.in("reference", p.reference, count, PreferenceLossStruct.REF_SCORES);
      call.in("targets", p.targets, count, PreferenceLossStruct.TARGETS);
      call.in("desirable", p.desirable, count, PreferenceLossStruct.DESIRABLE);
      call.in("weights", p.weights, units, PreferenceLossStruct.WEIGHTS);
      out.write(call, units, count, gradientOut);
      struct.putLong(PreferenceLossStruct.COUNT, count);
      struct.putDouble(PreferenceLossStruct.DIVISOR, normalizer.divisor());
      struct.putDouble(PreferenceLossStruct.BETA, beta);
      struct.putDouble(PreferenceLossStruct.MARGIN, margin);
      struct.putDouble(PreferenceLossStruct.BIAS, bias);
      struct.putDouble(PreferenceLossStruct.LABEL_SMOOTHING, smoothing);
      struct.putDouble(PreferenceLossStruct.REFERENCE_POINT, p.referencePoint);
      struct.putDouble(PreferenceLossStruct.DESIRABLE_WEIGHT, desirableWeight);
      struct.putDouble(PreferenceLossStruct.UNDESIRABLE_WEIGHT, undesirableWeight);
      struct.putInt(PreferenceLossStruct.KIND, kind);
      call.exec(0);
      int status = PolkaNative.polka_preference_loss(call.preferenceLoss());
      NativeStatus.check(status, p.scores.device());
      call.completed();
    } finally {
      call.exit();
    }
  }

  /** {@return what is on, in a line} */
  @Override
  public String toString() {
    String name =
        switch (form) {
          case RANKED -> Shape.values()[kind].toString();
          case LABELLED -> "KTO";
          case SAMPLED -> "BRAIn";
        };
    return name
        + ", beta "
        + beta
        + (margin == 0 ? "" : ", margin " + margin)
        + (bias == 1 ? "" : ", bias " + bias)
        + (smoothing == 0 ? "" : ", label smoothing " + smoothing);
  }
}
