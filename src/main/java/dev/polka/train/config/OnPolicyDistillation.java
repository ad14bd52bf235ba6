package dev.polka.train.config;

import java.util.List;
import java.util.stream.Stream;

/**
 * Distils on the student's own rollouts (stage 2b of the recipe).
 *
 * <p>With reward scale lambda and reference R the student moves towards R^(1-lambda) T^lambda,
 * normalised (Yang et al., G-OPD, arXiv 2602.12125): lambda 1 is plain distillation, whatever the
 * reference; above 1 it extrapolates beyond the teacher.
 *
 * @param name of the stage
 * @param from the model or stage the student starts from
 * @param teachers the stages or models imitated; with several, each response draws one of them
 * @param steps how often rollouts are made anew, one update each
 * @param rollouts what the student samples per step
 * @param divergence what is minimised
 * @param jsdBeta weight of the teacher in the mixture of {@link Divergence#JSD}, in (0, 1)
 * @param rewardScale lambda, above 0
 * @param reference the stage or model R; null only where lambda is 1
 * @param importanceClip most of the ratio between the trained and the sampling policy, by which
 *     {@link Divergence#SAMPLED_TOKEN} is weighted, above 0
 * @param optimizer how the weights are updated
 */
public record OnPolicyDistillation(
    String name,
    String from,
    List<String> teachers,
    int steps,
    RolloutSettings rollouts,
    Divergence divergence,
    double jsdBeta,
    double rewardScale,
    String reference,
    double importanceClip,
    OptimizerSettings optimizer)
    implements Stage {

  /** What distillation minimises at every response position. */
  public enum Divergence {
    /** KL(student || teacher) over the whole vocabulary. */
    REVERSE_KL,
    /** KL(teacher || student) over the whole vocabulary. */
    FORWARD_KL,
    /** The generalised Jensen-Shannon divergence over the whole vocabulary. */
    JSD,
    /** The reverse KL estimated from the sampled token alone, as a reward. */
    SAMPLED_TOKEN
  }

  @Override
  public List<String> consults() {
    Stream<String> others = reference == null ? Stream.empty() : Stream.of(reference);
    return Stream.concat(teachers.stream(), others).distinct().toList();
  }
}
