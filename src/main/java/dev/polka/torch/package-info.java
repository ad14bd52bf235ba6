/**
 * Polka on libtorch: tensors as views without a copy, results as tensors, and gradients handed to
 * libtorch's autograd. The only package of the kernel library that needs {@code
 * org.bytedeco:pytorch}.
 */
package dev.polka.torch;
