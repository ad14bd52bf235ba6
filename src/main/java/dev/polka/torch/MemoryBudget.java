package dev.polka.torch;

/**
 * How many bytes the chunks of one call may take, and so how many rows a chunk has. The number of
 * rows depends on budget, types and shape of the heads alone, and is the same with and without
 * gradients: the GEMM of a row is then the same too, and gives the same logits.
 */
record MemoryBudget(long bytes) {
  /** A GEMM over a chunk may take as much again for its own use. */
  static final MemoryBudget DEFAULT = new MemoryBudget(232L << 20);

  private static final long GRANULARITY = 16; // rows that a GEMM likes to have together

  MemoryBudget {
    if (bytes < 1) {
      throw new IllegalArgumentException("memoryBudget: " + bytes + " is not at least 1");
    }
  }

  /** Rows of a chunk, for what a row takes and what there is besides the rows. */
  long rows(long bytesPerRow, long fixedBytes) {
    long rows = (bytes - fixedBytes) / bytesPerRow;
    if (rows < 1) {
      throw new IllegalArgumentException(
          "memoryBudget: "
              + bytes
              + " bytes are less than the "
              + Math.addExact(bytesPerRow, fixedBytes)
              + " that one row needs");
    }
    return rows < 2 * GRANULARITY ? rows : rows / GRANULARITY * GRANULARITY;
  }
}
