/**
 * What a run tells: {@code metrics.jsonl} with nothing but deterministic values, {@code
 * timing.jsonl}, progress while it runs, and a table, plots and {@code report.html} at the end.
 */
package dev.polka.train.report;
