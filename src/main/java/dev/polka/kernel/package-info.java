/**
 * One class per operation of {@code polka.h}, on views of memory from {@link dev.polka.memory}.
 *
 * <p>One grammar throughout: a preset such as {@code LogProb.atTemperature(0.8f)}, refined by
 * {@code with...}, then {@code forward}, {@code backward} or {@code forwardBackward}. Operations
 * are immutable and thread-safe; results and views belong to one thread at a time. A verb either
 * allocates its result, which the caller closes, or takes a result to write into and then allocates
 * nothing. Working in place is always asked for by name.
 *
 * <p>A training step, from rewards and logits to the gradient:
 *
 * <pre>{@code
 * PolicyLoss objective = PolicyLoss.dapo().withKl(KlEstimator.K3, 1e-3);
 * try (Floats advantages = GroupAdvantage.grpo().forward(rewards, Groups.ofSize(8));
 *     LossResult r =
 *         objective.forwardBackward(
 *             logits,
 *             TokenBatch.of(targets, offsets)
 *                 .withOld(old)
 *                 .withReference(reference)
 *                 .withAdvantages(advantages),
 *             Normalizer.tokens(tokensOfTheStep))) {
 *   use(r.gradient(), r.loss(), r.metrics());
 * }
 * }</pre>
 *
 * <p>Rows are tokens. The rows of all sequences follow one another; a row whose target is the
 * ignore index or whose mask byte is 0 is skipped: its outputs are 0, its gradient row is zeros and
 * its logits are not read. Results depend neither on the number of threads nor on the other rows of
 * the call.
 *
 * <p>Bad input is refused before anything is written: by {@link IllegalArgumentException} for
 * shapes, types, devices, options and contents, by {@link IndexOutOfBoundsException} for a target
 * outside the vocabulary. Each message names the argument, its value and its limit.
 */
package dev.polka.kernel;
