/**
 * The seam between the command and the training loop: what a run is to do, checked and complete
 * ({@link dev.polka.train.job.TrainingJob}), and who does it ({@link dev.polka.train.job.Trainer}).
 */
package dev.polka.train.job;
