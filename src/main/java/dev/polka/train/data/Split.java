package dev.polka.train.data;

/** A part of the problems. No prompt is in two of them. */
public enum Split {
  /** What the teacher, the warm start and the distillation see. */
  TRAIN,
  /** Problems whose labels no earlier stage has seen, for the last reinforcement stage. */
  FRESH,
  /** Held out, for looking at while constants are chosen. */
  VALIDATION,
  /** Held out, for the numbers in the report. */
  TEST
}
