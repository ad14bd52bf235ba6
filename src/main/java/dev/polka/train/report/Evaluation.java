package dev.polka.train.report;

/**
 * The score of a stage's weights on held-out problems.
 *
 * @param seed the seed
 * @param stage name of the stage
 * @param step steps of the stage that were done; 0 before the first
 * @param last whether the stage was finished: the score an arm is compared by
 * @param problems number of problems
 * @param samples responses per problem
 * @param score mean score of all responses, in [0, 1]
 */
public record Evaluation(
    long seed, String stage, long step, boolean last, int problems, int samples, double score) {}
