package dev.polka.train.report;

import java.util.Locale;

/** What the time of a step goes into; the rest of a step is shown as other. */
public enum Phase {
  /** Writing responses. */
  GENERATION("generation"),
  /** The model's forward and backward passes, the head included, the loss left out. */
  FORWARD_BACKWARD("forward and backward"),
  /** Loss kernels: log-probs, advantages, divergences, losses and their gradients. */
  LOSS("loss kernels"),
  /** Clipping and the update of the weights. */
  OPTIMIZER("optimizer"),
  /** Writing checkpoints. */
  CHECKPOINT("checkpoints");

  private final String label;

  Phase(String label) {
    this.label = label;
  }

  /** What a person reads. */
  String label() {
    return label;
  }

  /** The key in {@code timing.jsonl}. */
  String key() {
    return this == FORWARD_BACKWARD ? "forwardBackward" : name().toLowerCase(Locale.ROOT);
  }
}
