package dev.polka.train.model;

import org.bytedeco.openblas.presets.openblas_nolapack;
import org.bytedeco.pytorch.global.torch;

/**
 * How many threads libtorch computes with. Results are promised to be the same for the same
 * numbers, so a run sets them rather than taking what the machine has.
 *
 * <p>libtorch spreads its own operations over its threads; the BLAS behind its f32 matrix products
 * keeps threads of its own, which spin while they wait. For small models these cost more than they
 * bring, and several times more on a busy machine, so the BLAS gets one thread unless told
 * otherwise.
 */
public final class TorchThreads {

  private TorchThreads() {}

  /**
   * Sets the number of libtorch's threads in this process, and one for the BLAS.
   *
   * @param threads at least 1
   * @throws IllegalArgumentException if it is below 1
   */
  public static void use(int threads) {
    use(threads, 1);
  }

  /**
   * Sets both numbers for this process.
   *
   * @param threads libtorch's, at least 1
   * @param blasThreads the BLAS's, at least 1; more than 1 pays for matrices of a thousand rows and
   *     columns and more
   * @throws IllegalArgumentException if one is below 1
   */
  public static void use(int threads, int blasThreads) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + ", must be at least 1");
    }
    if (blasThreads < 1) {
      throw new IllegalArgumentException("blasThreads is " + blasThreads + ", must be at least 1");
    }
    torch.set_num_threads(threads);
    openblas_nolapack.blas_set_num_threads(blasThreads);
  }
}
