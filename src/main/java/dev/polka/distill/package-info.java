/**
 * Distillation around the losses of {@link dev.polka.kernel.Divergence}: a teacher's log-probs of
 * sampled tokens as advantages, the options of published methods, weights of rows, which tokens to
 * learn from, and a loss between different vocabularies.
 *
 * <p>With S and T the log-probs of student and teacher. What is one number per token is computed in
 * plain Java and f64 on host arrays; {@link dev.polka.kernel.TokenLayout} says how rows form
 * sequences and which count. What stands at a row that does not count is never read. Nothing here
 * has a gradient unless it says so. Everything is immutable and thread-safe.
 *
 * <p>{@code docs/distillation.md} is the table to choose from.
 */
package dev.polka.distill;
