/**
 * One class per operation of {@code polka.h}, on views of memory from {@link dev.polka.memory}.
 *
 * <p>One grammar throughout: a preset such as {@code LogProb.atTemperature(0.8f)}, refined by
 * {@code with...}, then {@code forward}, {@code backward} or {@code forwardBackward}. Operations
 * are immutable and thread-safe; results and views belong to one thread at a time. A verb either
 * allocates its result, which the caller closes, or takes a result to write into and then allocates
 * nothing.
 *
 * <p>Rows are tokens. The rows of all sequences follow one another; a row whose target is the
 * ignore index or whose mask byte is 0 is skipped: its outputs are 0 and its logits are not read.
 * Results depend neither on the number of threads nor on the other rows of the call.
 */
package dev.polka.kernel;
