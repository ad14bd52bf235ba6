package dev.polka.train.data;

import dev.polka.train.InputException;
import java.util.Arrays;
import java.util.function.Supplier;

/**
 * Turns problems into tokens that fit a model's context.
 *
 * <p>A sequence is the prompt followed by at most {@link #maxResponse} response tokens, the end
 * token included; both together must fit into {@link #context}. Immutable and thread-safe.
 *
 * @param tokenizer the tokenizer
 * @param template what the model reads, with {@value #PROMPT} where the problem's prompt goes
 * @param context most tokens the model can hold, at least 2
 * @param maxResponse most tokens of a response, in [1, context)
 */
public record PromptEncoder(Tokenizer tokenizer, String template, int context, int maxResponse) {
  /** What stands in a template for the prompt of a problem. */
  public static final String PROMPT = "{prompt}";

  /**
   * Checks the values.
   *
   * @param tokenizer the tokenizer
   * @param template what the model reads
   * @param context most tokens the model can hold
   * @param maxResponse most tokens of a response
   */
  public PromptEncoder {
    if (!template.contains(PROMPT)) {
      throw new InputException("the prompt template '" + template + "' has no " + PROMPT);
    }
    if (maxResponse < 1 || maxResponse >= context) {
      throw new InputException(
          "a response may have "
              + maxResponse
              + " tokens; must be at least 1 and less than the context of "
              + context);
    }
  }

  /**
   * Tokens of a problem's prompt.
   *
   * @param problem the problem
   * @return ids, at least one and at most {@code context - maxResponse}
   * @throws InputException if the prompt is longer, or has a character without a token; the message
   *     begins with where the problem stands
   */
  public int[] prompt(Problem problem) {
    String text = template.replace(PROMPT, problem.prompt());
    int[] ids = located(problem, () -> tokenizer.encodePrompt(text));
    int limit = context - maxResponse;
    if (ids.length > limit) {
      throw new InputException(
          problem.source()
              + ": the prompt has "
              + ids.length
              + " tokens; the context of "
              + context
              + " leaves "
              + limit
              + " beside a response of "
              + maxResponse);
    }
    if (ids.length == 0) {
      throw new InputException(problem.source() + ": the prompt has no tokens");
    }
    return ids;
  }

  /**
   * Tokens of a response that a supervised stage teaches, the end token included.
   *
   * @param problem where the response belongs, for messages
   * @param response the text
   * @return ids, at most {@code maxResponse}
   * @throws InputException if the response is longer, or has a character without a token
   */
  public int[] response(Problem problem, String response) {
    int[] ids = located(problem, () -> tokenizer.encode(response));
    if (ids.length + 1 > maxResponse) {
      throw new InputException(
          problem.source()
              + ": the solution has "
              + (ids.length + 1)
              + " tokens with its end, responses may have "
              + maxResponse);
    }
    int[] closed = Arrays.copyOf(ids, ids.length + 1);
    closed[ids.length] = tokenizer.endOfSequence();
    return closed;
  }

  /**
   * Checks that all problems fit, so that a run cannot fail on them half-way.
   *
   * @param problems the problems
   * @param withSolutions whether the solutions are taught and must fit too
   * @throws InputException for the first that does not
   */
  public void check(Iterable<Problem> problems, boolean withSolutions) {
    for (Problem problem : problems) {
      prompt(problem);
      if (withSolutions) {
        response(problem, problem.solution());
      }
    }
  }

  private static int[] located(Problem problem, Supplier<int[]> encode) {
    try {
      return encode.get();
    } catch (InputException e) {
      throw new InputException(problem.source() + ": " + e.getMessage(), e);
    }
  }
}
