/**
 * What lets a killed run go on as if nothing had happened: directories that appear whole or not at
 * all, and the {@link dev.polka.train.checkpoint.CheckpointStore} built on them.
 */
package dev.polka.train.checkpoint;
