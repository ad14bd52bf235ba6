package dev.polka.train.job;

import dev.polka.train.data.ProblemSource;
import dev.polka.train.data.PromptEncoder;
import dev.polka.train.data.Tokenizer;
import dev.polka.train.data.Verifier;

/**
 * What is to be learnt, ready to use.
 *
 * @param problems where problems come from
 * @param tokenizer text to tokens; the same for every model of the run
 * @param prompts problems to tokens that fit every model's context
 * @param verifier scores responses
 */
public record TrainingTask(
    ProblemSource problems, Tokenizer tokenizer, PromptEncoder prompts, Verifier verifier) {}
