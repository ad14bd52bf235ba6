/**
 * What happens to rewards before advantages are taken: penalties for length and repetition, what a
 * truncated response is worth, which groups are worth training on, clipping and running statistics.
 *
 * <p>Arithmetic over one number per response, in f64 on host arrays. Everything is immutable and
 * thread-safe. A NaN reward, one that nobody could give, stays NaN and is left out of statistics.
 */
package dev.polka.reward;
