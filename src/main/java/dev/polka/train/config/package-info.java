/**
 * What a run does, as values: a {@link dev.polka.train.config.Pipeline} of {@link
 * dev.polka.train.config.Stage}s, read from YAML or JSON by {@link
 * dev.polka.train.config.PipelineFile}. Every value is immutable and thread-safe.
 */
package dev.polka.train.config;
