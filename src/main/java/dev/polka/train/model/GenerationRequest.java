package dev.polka.train.model;

import dev.polka.train.RandomKey;

/**
 * One response to generate.
 *
 * @param prompt token ids the response follows, at least one
 * @param key what the response is drawn with: {@code key.uniform(t)} decides its token t, so a key
 *     that names stage, arm, step and sample gives the same response in any batch
 */
public record GenerationRequest(int[] prompt, RandomKey key) {}
