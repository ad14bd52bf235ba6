/**
 * Views of memory that belongs to somebody else: {@link dev.polka.memory.Matrix} for logits and
 * gradients, {@link dev.polka.memory.Floats} and its siblings for one value per token, sequence or
 * group.
 *
 * <p>A view is an address, a shape and a strong reference to whatever keeps the address valid. It
 * knows no framework: direct NIO buffers, raw addresses and tensors of any library look the same
 * from here on. Where Polka itself needs memory, for a gradient say, it asks the {@link
 * dev.polka.memory.Allocator} that the input's {@link dev.polka.memory.Placement} carries.
 */
package dev.polka.memory;
