package dev.polka.train.stage;

import dev.polka.train.model.Rollout;

/**
 * A prompt with a response to learn from.
 *
 * @param prompt tokens that are read, at least one
 * @param response tokens that are predicted, at least one
 */
record Sequence(int[] prompt, int[] response) {
  static Sequence of(Rollout rollout) {
    return new Sequence(rollout.prompt(), rollout.response());
  }

  /** Tokens that the body reads: all but the last, which is only predicted. */
  int bodyLength() {
    return prompt.length + response.length - 1;
  }
}
