package dev.polka.train.report;

import java.util.Locale;

/** What is measured at each training step. All are functions of the configuration and the seed. */
public enum Metric {
  /** Mean score of the step's responses, in [0, 1]. */
  REWARD("reward", Form.PLAIN),
  /**
   * Divergence per token, in nats: to the teacher, or to the reference; in GRPO without one, the
   * approximate KL to the policy that wrote the responses, in the step's last update. With one
   * update a step that one has the same weights, and this is 0.
   */
  KL("kl", Form.PLAIN),
  /** Mean entropy of the policy per response token, in nats. */
  ENTROPY("entropy", Form.PLAIN),
  /** Share of response tokens whose ratio was clipped. */
  CLIP_FRACTION("clip", Form.PERCENT),
  /** Share of groups whose responses all scored the same, so that they teach nothing. */
  ZERO_ADVANTAGE_GROUPS("0-adv groups", Form.PERCENT),
  /** The loss that was minimised, of the last update of the step. */
  LOSS("loss", Form.PLAIN),
  /** Norm of the whole gradient before clipping. */
  GRADIENT_NORM("grad", Form.PLAIN),
  /** The learning rate of the step's last update. */
  LEARNING_RATE("lr", Form.HIDDEN),
  /** Response tokens trained on. */
  RESPONSE_TOKENS("tokens", Form.HIDDEN),
  /** Responses that were scored. */
  SCORED_ROLLOUTS("rollouts", Form.HIDDEN),
  /** Share of the body's tokens that were padding. */
  PADDED_SHARE("padding", Form.HIDDEN);

  /** How progress shows a value. */
  enum Form {
    PLAIN,
    PERCENT,
    HIDDEN
  }

  private final String label;
  private final Form form;

  Metric(String label, Form form) {
    this.label = label;
    this.form = form;
  }

  /**
   * The key in {@code metrics.jsonl}.
   *
   * @return the constant's name in camel case, such as {@code clipFraction}
   */
  public String key() {
    StringBuilder key = new StringBuilder();
    for (String word : name().toLowerCase(Locale.ROOT).split("_")) {
      key.append(
          key.isEmpty() ? word : word.substring(0, 1).toUpperCase(Locale.ROOT) + word.substring(1));
    }
    return key.toString();
  }

  /** What a person reads. */
  String label() {
    return label;
  }

  /** The value as a narrow terminal shows it, or nothing for what it leaves out. */
  String narrow(double value) {
    String shown = shown(value);
    return switch (this) {
      case REWARD, ENTROPY -> shown.replace(label, label.substring(0, 3));
      case ZERO_ADVANTAGE_GROUPS -> shown.replace(label, "0-adv");
      default -> shown;
    };
  }

  /** The value as progress shows it, or nothing for what it leaves out. */
  String shown(double value) {
    return switch (form) {
      case HIDDEN -> "";
      case PERCENT -> label + " " + Math.round(100 * value) + "%";
      case PLAIN ->
          label + " " + String.format(Locale.ROOT, Math.abs(value) < 10 ? "%.3f" : "%.3g", value);
    };
  }
}
