/**
 * Problems and their answers: where they come from ({@link dev.polka.train.data.ProblemSource}),
 * how they become tokens ({@link dev.polka.train.data.Tokenizer}) and how a response is scored
 * ({@link dev.polka.train.data.Verifier}).
 */
package dev.polka.train.data;
