package dev.polka.train.job;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import dev.polka.train.config.DataSettings;
import dev.polka.train.config.ModelSettings;
import dev.polka.train.config.Pipeline;
import dev.polka.train.config.SupervisedWarmStart;
import dev.polka.train.data.ArithmeticProblems;
import dev.polka.train.data.ArithmeticTask;
import dev.polka.train.data.CharTokenizer;
import dev.polka.train.data.ExactMatch;
import dev.polka.train.data.FileProblems;
import dev.polka.train.data.NumericEquality;
import dev.polka.train.data.Problem;
import dev.polka.train.data.ProblemSource;
import dev.polka.train.data.PromptEncoder;
import dev.polka.train.data.Split;
import dev.polka.train.data.Tokenizer;
import dev.polka.train.data.Verifier;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Opens the problems of a pipeline, finds or makes the tokenizer, sizes the contexts that are left
 * open, and checks that everything fits before anything is trained.
 *
 * @param pipeline the configuration with its sizes resolved
 * @param task what is to be learnt
 */
public record TaskPreparation(Pipeline pipeline, TrainingTask task) {
  /** Most tokens of a context that is sized after the problems; more must be asked for. */
  public static final int LARGEST_AUTOMATIC_CONTEXT = 512;

  /**
   * Prepares a pipeline.
   *
   * @param pipeline the configuration
   * @param base the folder that relative paths start from
   * @return the configuration with its sizes, and the task
   * @throws InputException if a file is missing or bad, a prompt or a solution does not fit, an
   *     answer does not verify against itself, or there are too few problems to evaluate on
   */
  public static TaskPreparation of(Pipeline pipeline, Path base) {
    DataSettings data = pipeline.data();
    Verifier verifier = Verifier.named(data.verifier());
    ProblemSource problems = data.open(base);
    List<Problem> all = all(problems);
    Tokenizer tokenizer = tokenizer(pipeline, base, problems, all);
    problems.heldOut(pipeline.evaluation().split(), pipeline.evaluation().problems());
    checkAnswers(verifier, all);

    boolean taught =
        pipeline.trainedStages().stream().anyMatch(SupervisedWarmStart.class::isInstance);
    int maxResponse = data.maxResponse() > 0 ? data.maxResponse() : longestSolution(tokenizer, all);
    var unbounded = new PromptEncoder(tokenizer, data.template(), Integer.MAX_VALUE, maxResponse);
    Problem longest =
        all.stream()
            .max(Comparator.comparingInt(problem -> unbounded.prompt(problem).length))
            .orElseThrow();
    int needed = Math.addExact(unbounded.prompt(longest).length, maxResponse);
    Pipeline sized = pipeline.withData(data.withMaxResponse(maxResponse));
    int smallest = Integer.MAX_VALUE;
    for (String name : pipeline.usedModels()) {
      ModelSettings model = pipeline.models().get(name);
      int context = context(name, model, base, needed, longest);
      smallest = Math.min(smallest, context);
      if (model.directory() != null) {
        // Whoever loads it need not know which folder relative paths start from.
        model = model.withDirectory(base.resolve(model.directory()).toString());
      }
      sized = sized.withModel(name, model.withContext(context));
    }
    var prompts = new PromptEncoder(tokenizer, data.template(), smallest, maxResponse);
    prompts.check(all, taught);
    return new TaskPreparation(sized, new TrainingTask(problems, tokenizer, prompts, verifier));
  }

  /** Every problem of a file; of the generator the longest one. */
  private static List<Problem> all(ProblemSource problems) {
    if (problems instanceof ArithmeticProblems arithmetic) {
      return List.of(arithmetic.task().longest());
    }
    List<Problem> all = new ArrayList<>();
    for (Split split : Split.values()) {
      all.addAll(((FileProblems) problems).all(split));
    }
    return all;
  }

  private static Tokenizer tokenizer(
      Pipeline pipeline, Path base, ProblemSource problems, List<Problem> all) {
    Path from = null;
    Tokenizer tokenizer = null;
    for (String name : pipeline.usedModels()) {
      String directory = pipeline.models().get(name).directory();
      if (directory == null) {
        continue;
      }
      Path other = base.resolve(directory);
      if (tokenizer == null) {
        tokenizer = Tokenizer.load(other);
        from = other;
      } else {
        requireSameTokenizer(from, other);
      }
    }
    if (tokenizer != null) {
      return tokenizer;
    }
    return problems instanceof ArithmeticProblems
        ? CharTokenizer.of(ArithmeticTask.symbols())
        : CharTokenizer.covering(all, pipeline.data().template().replace(PromptEncoder.PROMPT, ""));
  }

  private static void requireSameTokenizer(Path one, Path other) {
    String name = "tokenizer.json";
    try {
      if (Files.mismatch(one.resolve(name), other.resolve(name)) >= 0) {
        throw new InputException(
            other.resolve(name)
                + ": differs from "
                + one.resolve(name)
                + "; teacher and student must have one vocabulary");
      }
    } catch (IOException e) {
      throw new InputException(other.resolve(name) + ": cannot be read: " + FileFailure.text(e), e);
    }
  }

  private static int longestSolution(Tokenizer tokenizer, List<Problem> all) {
    int longest = 0;
    for (Problem problem : all) {
      try {
        longest = Math.max(longest, tokenizer.encode(problem.solution()).length);
      } catch (InputException e) {
        throw new InputException(problem.source() + ": " + e.getMessage(), e);
      }
    }
    return longest + 1;
  }

  /** The context asked for; otherwise what is needed, within what is possible. */
  private static int context(
      String name, ModelSettings model, Path base, int needed, Problem longest) {
    if (model.context() > 0) {
      return model.context();
    }
    if (model.directory() != null) {
      return Math.min(needed, positions(base.resolve(model.directory()).resolve("config.json")));
    }
    if (needed > LARGEST_AUTOMATIC_CONTEXT) {
      throw new InputException(
          longest.source()
              + ": its prompt with the longest response is "
              + needed
              + " tokens long, and a context sized after the data ends at "
              + LARGEST_AUTOMATIC_CONTEXT
              + "; set models."
              + name
              + ".context in a configuration of your own for more");
    }
    return needed;
  }

  private static int positions(Path config) {
    try {
      JsonNode positions =
          new ObjectMapper().readTree(config.toFile()).path("max_position_embeddings");
      if (!positions.isInt()) {
        throw new InputException(config + ": has no max_position_embeddings");
      }
      return positions.intValue();
    } catch (IOException e) {
      throw new InputException(config + ": cannot be read: " + FileFailure.text(e), e);
    }
  }

  /** A reference solution that scores 0 means the wrong verifier, and a run that learns nothing. */
  private static void checkAnswers(Verifier verifier, List<Problem> all) {
    if (!(verifier instanceof ExactMatch) && !(verifier instanceof NumericEquality)) {
      return; // what a user's verifier wants to see need not be what the file teaches
    }
    for (Problem problem : all) {
      if (verifier.score(problem, problem.solution()) != 1) {
        throw new InputException(
            problem.source()
                + ": its own solution is wrong to verifier '"
                + verifier.name()
                + "'; choose another (exact, numeric, numeric-last or one of your own)");
      }
    }
  }
}
