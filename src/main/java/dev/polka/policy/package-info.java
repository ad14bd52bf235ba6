/**
 * What a policy-gradient step needs around the loss of {@link dev.polka.kernel.PolicyLoss}:
 * advantages, KL penalties in the reward, off-policy correction, aggregation, losses on whole
 * sequences and on pairs of them, and presets that do what other systems do.
 *
 * <p>All of it is arithmetic over one number per token or per sequence, in f64 on host arrays, in
 * plain Java but for the statistics of groups and the returns of tokens, which the kernels compute;
 * {@link dev.polka.kernel.TokenLayout} says how rows form sequences and which count. What stands at
 * a row that does not count is never read. Everything is immutable and thread-safe unless it says
 * otherwise.
 *
 * <p>{@code docs/objectives.md} and {@code docs/advantages.md} are the tables to choose from.
 */
package dev.polka.policy;
