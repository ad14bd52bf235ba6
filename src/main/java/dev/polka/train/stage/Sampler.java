package dev.polka.train.stage;

import dev.polka.train.RandomKey;
import dev.polka.train.TrainingFailure;
import dev.polka.train.config.RolloutSettings;
import dev.polka.train.data.Problem;
import dev.polka.train.data.ProblemSource;
import dev.polka.train.data.PromptEncoder;
import dev.polka.train.data.Split;
import dev.polka.train.data.Verifier;
import dev.polka.train.model.GenerationRequest;
import dev.polka.train.model.Generator;
import dev.polka.train.model.LlamaModel;
import dev.polka.train.model.Rollout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Writes responses to problems and scores them. What is sampled depends on the key, the problem and
 * the weights alone.
 */
record Sampler(PromptEncoder encoder, Verifier verifier, int rows) {
  private static final int SHOWN_PROMPT = 60;

  /**
   * Problems with responses: response {@code i} is to problem {@code i / samples}.
   *
   * @param problems the problems, each once
   * @param samples responses per problem
   * @param rollouts the responses
   */
  record Responses(List<Problem> problems, int samples, List<Rollout> rollouts) {
    List<Sequence> sequences() {
      return rollouts.stream().map(Sequence::of).toList();
    }

    /** Response tokens. */
    long tokens() {
      return rollouts.stream().mapToLong(rollout -> rollout.response().length).sum();
    }

    float[][] logProbs() {
      return rollouts.stream().map(Rollout::logProbs).toArray(float[][]::new);
    }
  }

  Responses sample(
      LlamaModel model, List<Problem> problems, int samples, double temperature, RandomKey key) {
    Generator generator =
        (temperature == 0
                ? Generator.greedy(encoder.maxResponse())
                : Generator.sampling(temperature, encoder.maxResponse()))
            .withMaxRows(rows);
    List<GenerationRequest> requests = new ArrayList<>();
    for (int p = 0; p < problems.size(); p++) {
      int[] prompt = encoder.prompt(problems.get(p));
      for (int s = 0; s < samples; s++) {
        requests.add(new GenerationRequest(prompt, key.with(p).with(s)));
      }
    }
    try {
      return new Responses(problems, samples, generator.generate(model, requests));
    } catch (ArithmeticException e) {
      throw new TrainingFailure("no token can be sampled; " + e.getMessage());
    }
  }

  Responses sample(
      LlamaModel model, List<Problem> problems, RolloutSettings settings, RandomKey key) {
    return sample(model, problems, settings.samples(), settings.temperature(), key);
  }

  /** The verifier's score of every response, in [0, 1]. A response that never ended scores 0. */
  float[] scores(Responses responses) {
    float[] scores = new float[responses.rollouts().size()];
    for (int i = 0; i < scores.length; i++) {
      Rollout rollout = responses.rollouts().get(i);
      Problem problem = responses.problems().get(i / responses.samples());
      scores[i] = rollout.ended() ? score(problem, text(rollout)) : 0;
    }
    return scores;
  }

  private float score(Problem problem, String response) {
    double score;
    try {
      score = verifier.score(problem, response);
    } catch (RuntimeException e) {
      throw failed("threw " + String.valueOf(e).lines().findFirst().orElse(""), problem, e);
    }
    if (!(score >= 0 && score <= 1)) {
      throw failed("gave the score " + score + ", must be in [0, 1],", problem, null);
    }
    return (float) score;
  }

  private TrainingFailure failed(String what, Problem problem, RuntimeException cause) {
    String prompt = problem.prompt().replaceAll("\\s+", " ");
    String shown =
        prompt.length() <= SHOWN_PROMPT ? prompt : prompt.substring(0, SHOWN_PROMPT) + "...";
    var failure =
        new TrainingFailure(
            "verifier "
                + verifier.getClass().getName()
                + " "
                + what
                + " on problem "
                + problem.source()
                + " ('"
                + shown
                + "')");
    if (cause != null) {
      failure.initCause(cause);
    }
    return failure;
  }

  private String text(Rollout rollout) {
    int[] tokens = rollout.response();
    return encoder.tokenizer().decode(Arrays.copyOf(tokens, tokens.length - 1));
  }

  /** The problems of one step: {@code settings.prompts()} from place {@code step * prompts} on. */
  static List<Problem> draw(ProblemSource source, Split split, long seed, long step, int prompts) {
    List<Problem> problems = new ArrayList<>();
    for (int i = 0; i < prompts; i++) {
      problems.add(source.draw(split, seed, step * prompts + i));
    }
    return problems;
  }
}
