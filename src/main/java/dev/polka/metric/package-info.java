/**
 * What to watch in training, from what a step has computed anyway: the metrics of a policy loss
 * under Polka's names and each peer's, pass@k, explained variance.
 */
package dev.polka.metric;
