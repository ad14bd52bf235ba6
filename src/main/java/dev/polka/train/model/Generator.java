package dev.polka.train.model;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalInt;

/**
 * Generates responses: sampled at a temperature, or greedy.
 *
 * <p>Each token is drawn by inverse transform from {@code softmax(logits / T)} with a number that
 * depends on the request's key and the token's place alone. So a response does not depend on the
 * other requests, their number or their order, and there is no generator state.
 *
 * <p>Immutable and thread-safe; a model belongs to one thread at a time.
 */
public final class Generator {
  private static final int DEFAULT_ROWS = 512;

  private final double temperature; // 0: greedy
  private final int maxTokens;
  private final int maxRows;
  private final List<Integer> eosTokens; // null: the model's

  private Generator(double temperature, int maxTokens, int maxRows, List<Integer> eosTokens) {
    if (maxTokens < 1) {
      throw new IllegalArgumentException("maxTokens is " + maxTokens + ", must be at least 1");
    }
    if (maxRows < 1) {
      throw new IllegalArgumentException("maxRows is " + maxRows + ", must be at least 1");
    }
    this.temperature = temperature;
    this.maxTokens = maxTokens;
    this.maxRows = maxRows;
    this.eosTokens = eosTokens;
  }

  /**
   * Draws tokens.
   *
   * @param temperature divides the logits, finite and above 0
   * @param maxTokens most tokens of a response, at least 1
   * @return a generator that ends responses at the model's end tokens
   * @throws IllegalArgumentException naming the argument, its value and the limit
   */
  public static Generator sampling(double temperature, int maxTokens) {
    if (!(temperature > 0 && temperature < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "temperature is " + temperature + ", must be finite and above 0");
    }
    return new Generator(temperature, maxTokens, DEFAULT_ROWS, null);
  }

  /**
   * Takes the most probable token, the lowest of equals.
   *
   * @param maxTokens most tokens of a response, at least 1
   * @return a generator that ends responses at the model's end tokens
   * @throws IllegalArgumentException naming the argument, its value and the limit
   */
  public static Generator greedy(int maxTokens) {
    return new Generator(0, maxTokens, DEFAULT_ROWS, null);
  }

  /**
   * Ends responses at other tokens than the model's.
   *
   * @param tokens the end tokens; none to go on to the largest length
   * @return a changed copy
   */
  public Generator withEosTokens(Integer... tokens) {
    return new Generator(temperature, maxTokens, maxRows, List.of(tokens));
  }

  /**
   * Bounds the memory: how many responses grow at a time. Responses are the same for any number.
   *
   * @param maxRows at least 1; 512 unless set
   * @return a changed copy
   * @throws IllegalArgumentException if it is below 1
   */
  public Generator withMaxRows(int maxRows) {
    return new Generator(temperature, maxTokens, maxRows, eosTokens);
  }

  /**
   * Generates a response to each request.
   *
   * @param model the model
   * @param requests prompts with their keys
   * @return the responses, in the order of the requests
   * @throws IllegalArgumentException if a prompt is empty, has an id outside the vocabulary, or is
   *     longer than the context less the largest response
   * @throws ArithmeticException if a row of logits has a NaN, +inf or nothing finite; the message
   *     names request and token
   */
  public List<Rollout> generate(LlamaModel model, List<GenerationRequest> requests) {
    Integer[] order = new Integer[requests.size()];
    for (int i = 0; i < order.length; i++) {
      requireFits(requests.get(i).prompt(), i, model.config());
      order[i] = i;
    }
    // Like lengths together: prompts are padded to the longest of their batch.
    Arrays.sort(order, Comparator.comparingInt(i -> requests.get(i).prompt().length));
    Rollout[] rollouts = new Rollout[order.length];
    for (int from = 0; from < order.length; from += maxRows) {
      List<Integer> batch = List.of(order).subList(from, Math.min(from + maxRows, order.length));
      generate(model, requests, batch, rollouts);
    }
    return List.of(rollouts);
  }

  private void requireFits(int[] prompt, int index, ModelConfig config) {
    String name = "requests[" + index + "].prompt";
    int limit = config.contextLength() - maxTokens;
    if (prompt.length < 1 || prompt.length > limit) {
      throw new IllegalArgumentException(
          name
              + " has "
              + prompt.length
              + " tokens, must have at least 1 and at most contextLength - maxTokens = "
              + limit);
    }
    OptionalInt outside =
        Arrays.stream(prompt).filter(id -> id < 0 || id >= config.vocabSize()).findFirst();
    if (outside.isPresent()) {
      throw new IllegalArgumentException(
          name
              + " has token "
              + outside.getAsInt()
              + ", must be in [0, vocabSize = "
              + config.vocabSize()
              + ")");
    }
  }

  private void generate(
      LlamaModel model, List<GenerationRequest> requests, List<Integer> batch, Rollout[] rollouts) {
    BitSet ends = new BitSet();
    (eosTokens == null ? model.config().eosTokens() : eosTokens).forEach(ends::set);
    List<Response> live = new ArrayList<>();
    int longest = 1;
    for (int index : batch) {
      live.add(new Response(index, requests.get(index), maxTokens));
      longest = Math.max(longest, requests.get(index).prompt().length + maxTokens);
    }
    int vocab = model.config().vocabSize();
    try (CachedDecoder decoder = new CachedDecoder(model, live.size(), longest)) {
      float[] logits = decoder.prefill(live.stream().map(r -> r.request.prompt()).toList());
      while (true) {
        for (int row = 0; row < live.size(); row++) {
          live.get(row).choose(logits, row * vocab, vocab, temperature);
        }
        for (int row = live.size() - 1; row >= 0; row--) {
          Response response = live.get(row);
          if (response.count == maxTokens || ends.get(response.lastToken())) {
            rollouts[response.index] = response.finish(ends.get(response.lastToken()));
            decoder.removeByLast(row);
            live.set(row, live.get(live.size() - 1));
            live.remove(live.size() - 1);
          }
        }
        if (live.isEmpty()) {
          return;
        }
        logits = decoder.step(live.stream().mapToInt(Response::lastToken).toArray());
      }
    }
  }

  /** A response that grows. */
  private static final class Response {
    private final int index;
    private final GenerationRequest request;
    private final int[] tokens;
    private final float[] logProbs;
    private int count;

    private Response(int index, GenerationRequest request, int maxTokens) {
      this.index = index;
      this.request = request;
      tokens = new int[maxTokens];
      logProbs = new float[maxTokens];
    }

    private void choose(float[] logits, int offset, int vocab, double temperature) {
      TokenChoice choice =
          temperature == 0
              ? TokenChoice.greedy(logits, offset, vocab)
              : TokenChoice.sample(
                  logits, offset, vocab, temperature, request.key().uniform(count));
      if (choice == null) {
        throw new ArithmeticException(
            "requests["
                + index
                + "], response token "
                + count
                + ": its logits have a NaN, +inf or nothing finite");
      }
      tokens[count] = choice.token();
      logProbs[count++] = choice.logProb();
    }

    private int lastToken() {
      return tokens[count - 1];
    }

    private Rollout finish(boolean ended) {
      return new Rollout(
          request.prompt(), Arrays.copyOf(tokens, count), Arrays.copyOf(logProbs, count), ended);
    }
  }
}
