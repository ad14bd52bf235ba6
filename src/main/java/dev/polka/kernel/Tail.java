package dev.polka.kernel;

/** What stands for the columns that a teacher known by its top K does not name. */
public enum Tail {
  /** Nothing: the sum over the K entries, of both sides' probabilities as they are (verl). */
  NONE,
  /** One more entry for all of them, with what the K leave of each side's mass (TRL). */
  BUCKET,
  /** Nothing: both sides are divided by their mass on the K entries (NeMo-RL). */
  RENORMALIZED
}
