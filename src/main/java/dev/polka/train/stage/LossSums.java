package dev.polka.train.stage;

/**
 * What a loss function found, as sums over response tokens, so that micro-batches add up.
 *
 * @param loss the loss, normalised
 * @param kl sum of the divergence, in nats: to the teacher or the reference; of a policy loss
 *     without a reference, {@code old - new} of the log-probs, which estimates KL(old || new)
 * @param entropy sum of the policy's entropy, in nats
 * @param clipped tokens whose ratio was clipped
 * @param tokens response tokens
 */
record LossSums(double loss, double kl, double entropy, double clipped, long tokens) {
  static final LossSums NONE = new LossSums(0, 0, 0, 0, 0);

  LossSums plus(LossSums other) {
    return new LossSums(
        loss + other.loss,
        kl + other.kl,
        entropy + other.entropy,
        clipped + other.clipped,
        tokens + other.tokens);
  }
}
