package dev.polka.metric;

/**
 * Systems whose dashboards a JVM trainer may have to feed; for {@link LossMetric#of(
 * dev.polka.kernel.PolicyLossMetrics, Peer)}.
 */
public enum Peer {
  /** verl. */
  VERL("verl"),
  /** Hugging Face's TRL. */
  TRL("TRL"),
  /** OpenRLHF. */
  OPENRLHF("OpenRLHF"),
  /** NVIDIA's NeMo-RL. */
  NEMO("NeMo-RL"),
  /** slime. */
  SLIME("slime"),
  /** prime-rl. */
  PRIME("prime-rl"),
  /** ROLL. */
  ROLL("ROLL"),
  /** SkyRL. */
  SKYRL("SkyRL"),
  /** AReaL. */
  AREAL("AReaL"),
  /** The tinker cookbook. */
  TINKER("tinker");

  private final String title;

  Peer(String title) {
    this.title = title;
  }

  /** {@return how the system writes its name} */
  public String title() {
    return title;
  }
}
