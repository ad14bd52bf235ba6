package dev.polka.train.config;

/** What computes the losses of a run. */
public enum LossBackend {
  /** Polka's kernels. */
  POLKA,
  /** Plain libtorch operations, for comparison of speed and numbers. */
  LIBTORCH
}
