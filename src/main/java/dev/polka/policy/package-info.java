/**
 * What a policy-gradient step needs around the loss of {@link dev.polka.kernel.PolicyLoss}:
 * advantages, KL penalties in the reward, off-policy correction, aggregation, losses on whole
 * sequences and on pairs of them, and presets that do what other systems do.
 *
 * <p>All of it is arithmetic over one number per token or per sequence, in plain Java and f64 on
 * host arrays; {@link dev.polka.kernel.TokenLayout} says how rows form sequences and which count.
 * What stands at a row that does not count is never read. Everything is immutable and thread-safe
 * unless it says otherwise.
 *
 * <p>{@code docs/objectives.md} is the table to choose from.
 */
package dev.polka.policy;
