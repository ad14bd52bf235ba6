package dev.polka.kernel;

import dev.polka.memory.Bytes;
import dev.polka.memory.Doubles;
import java.util.Objects;

/**
 * Responses with what is known of which is better, for {@link PreferenceLoss}. A response has a
 * score: the sum of its log-probs (DPO, KTO, BRAIn), their mean (SimPO), or a reward model's reward
 * (Bradley-Terry); {@code TokenLayout.sums} and {@code means} make them of tokens.
 *
 * <p>Immutable, apart from the memory that it views.
 */
public final class Preferences {
  /** What is known of the responses. */
  enum Form {
    RANKED,
    LABELLED,
    SAMPLED
  }

  private static final Groups PAIRS = Groups.ofSize(2);

  final Form form;
  final Doubles scores;
  final Groups groups; // null where labelled
  final Bytes desirable;
  final Doubles targets;
  final Doubles reference;
  final Doubles weights;
  final double referencePoint;

  private Preferences(
      Form form,
      Doubles scores,
      Groups groups,
      Bytes desirable,
      Doubles targets,
      Doubles reference,
      Doubles weights,
      double referencePoint) {
    this.form = form;
    this.scores = Objects.requireNonNull(scores, "scores");
    this.groups = groups;
    this.desirable = desirable;
    this.targets = targets;
    this.reference = reference;
    this.weights = weights;
    this.referencePoint = referencePoint;
  }

  /**
   * Pairs, one after the other, the chosen response before the rejected one.
   *
   * @param scores f64, {@code [2 pairs]}
   * @return the pairs
   */
  public static Preferences pairs(Doubles scores) {
    return ranked(scores, PAIRS);
  }

  /**
   * Groups of responses, each ranked from its best to its worst: every pair of a group counts, its
   * loss being their mean (CPL's list form).
   *
   * @param scores f64, one per response
   * @param groups where the groups are
   * @return the groups
   */
  public static Preferences ranked(Doubles scores, Groups groups) {
    Objects.requireNonNull(groups, "groups");
    return new Preferences(Form.RANKED, scores, groups, null, null, null, null, 0);
  }

  /**
   * Responses that are good or bad by themselves (KTO).
   *
   * @param scores f64, one per response
   * @param desirable one per response; 0 = undesirable
   * @return the responses
   */
  public static Preferences labelled(Doubles scores, Bytes desirable) {
    Objects.requireNonNull(desirable, "desirable");
    return new Preferences(Form.LABELLED, scores, null, desirable, null, null, null, 0);
  }

  /**
   * Groups of responses drawn by a proposal policy, whose log-probs {@link #withReference} adds,
   * and how likely each is under the reward-conditioned posterior (BRAIn).
   *
   * @param scores f64, one per response
   * @param groups where the groups are
   * @param targets f64, one per response: its log-prob under the prior plus its reward over a
   *     temperature; any constant per group may be added
   * @return the groups
   */
  public static Preferences sampled(Doubles scores, Groups groups, Doubles targets) {
    Objects.requireNonNull(groups, "groups");
    Objects.requireNonNull(targets, "targets");
    return new Preferences(Form.SAMPLED, scores, groups, null, targets, null, null, 0);
  }

  /**
   * Adds scores under the reference policy, which are subtracted; without them nothing is.
   *
   * @param reference f64, one per response
   * @return the same with them
   */
  public Preferences withReference(Doubles reference) {
    Objects.requireNonNull(reference, "reference");
    return new Preferences(
        form, scores, groups, desirable, targets, reference, weights, referencePoint);
  }

  /**
   * Adds weights; without them they are 1.
   *
   * @param weights f64, one per group, or per response where they are labelled
   * @return the same with them
   */
  public Preferences withWeights(Doubles weights) {
    Objects.requireNonNull(weights, "weights");
    return new Preferences(
        form, scores, groups, desirable, targets, reference, weights, referencePoint);
  }

  /**
   * Adds KTO's reference point, an estimate of KL(policy || reference) of whole responses without
   * gradient. TRL takes the mean log-ratio of responses to other prompts, not below 0.
   *
   * @param kl in nats; 0 unless set
   * @return the same with it
   * @throws IllegalArgumentException if {@code kl} is not finite
   */
  public Preferences withReferencePoint(double kl) {
    Require.finite("referencePoint", kl);
    return new Preferences(form, scores, groups, desirable, targets, reference, weights, kl);
  }

  /** Groups, or responses where they are labelled. */
  long units() {
    return groups == null ? scores.size() : groups.count(scores.size());
  }
}
