/**
 * The policy model: a Llama-style decoder on libtorch, its parameters, generation with a key/value
 * cache, the optimizer, and model directories in Hugging Face's layout.
 *
 * <p>Everything that computes is deterministic for a given number of threads ({@link
 * dev.polka.train.model.TorchThreads}). No random state of libtorch is used. Classes that hold
 * tensors are closeable and belong to one thread at a time.
 */
package dev.polka.train.model;
