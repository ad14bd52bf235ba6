/**
 * Training: rollouts, updates and the stages of the pipeline, from a configuration to trained
 * models, metrics and checkpoints. All losses are computed by Polka's kernels.
 */
package dev.polka.train.stage;
