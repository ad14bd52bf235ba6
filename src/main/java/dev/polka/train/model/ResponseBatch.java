package dev.polka.train.model;

import dev.polka.torch.Tensors;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;

/**
 * Prompts with their responses, laid out for a training forward pass: the body reads right-padded
 * {@code [B, T]} tokens, the head only the N positions that predict a response token, packed in the
 * order of the sequences.
 *
 * <p>The last response token predicts nothing, so it is no input: T is the largest {@code prompt +
 * response - 1}. Immutable and thread-safe; tensors are made anew for each caller.
 */
public final class ResponseBatch {
  private final int sequences;
  private final int length;
  private final long bodyTokens;
  private final long[] tokens;
  private final long[] rows;
  private final long[] targets;
  private final long[] offsets;

  private ResponseBatch(List<int[]> prompts, List<int[]> responses) {
    if (prompts.size() != responses.size()) {
      throw new IllegalArgumentException(
          "responses are " + responses.size() + ", must be as many as prompts, " + prompts.size());
    }
    sequences = prompts.size();
    offsets = new long[sequences + 1];
    int longest = 1;
    long body = 0;
    for (int b = 0; b < sequences; b++) {
      int prompt = prompts.get(b).length;
      int response = responses.get(b).length;
      if (prompt < 1) {
        throw new IllegalArgumentException("prompts[" + b + "] is empty, must have a token");
      }
      int input = Math.addExact(prompt, Math.max(response, 1)) - 1;
      longest = Math.max(longest, input);
      body += input;
      offsets[b + 1] = offsets[b] + response;
    }
    length = longest;
    bodyTokens = body;
    tokens = new long[Math.multiplyExact(sequences, length)];
    rows = new long[Math.toIntExact(offsets[sequences])];
    targets = new long[rows.length];
    for (int b = 0; b < sequences; b++) {
      lay(prompts.get(b), responses.get(b), b);
    }
  }

  private void lay(int[] prompt, int[] response, int b) {
    int start = b * length;
    for (int t = 0; t < prompt.length; t++) {
      tokens[start + t] = prompt[t];
    }
    for (int t = 0; t < response.length; t++) {
      int at = (int) offsets[b] + t;
      rows[at] = start + prompt.length - 1 + t;
      targets[at] = response[t];
      if (t < response.length - 1) {
        tokens[start + prompt.length + t] = response[t];
      }
    }
  }

  /**
   * Lays out prompts with given responses.
   *
   * @param prompts token ids, at least one each
   * @param responses token ids that follow each prompt
   * @return the batch, in the same order
   * @throws IllegalArgumentException if a prompt is empty or the lists differ in size
   */
  public static ResponseBatch of(List<int[]> prompts, List<int[]> responses) {
    return new ResponseBatch(prompts, responses);
  }

  /**
   * Lays out generated responses.
   *
   * @param rollouts the responses
   * @return the batch, in the same order
   */
  public static ResponseBatch of(List<Rollout> rollouts) {
    List<int[]> prompts = new ArrayList<>();
    List<int[]> responses = new ArrayList<>();
    rollouts.forEach(
        rollout -> {
          prompts.add(rollout.prompt());
          responses.add(rollout.response());
        });
    return new ResponseBatch(prompts, responses);
  }

  /**
   * What the body reads.
   *
   * @return a new {@code [B, T]} int64 tensor; in the caller's scope, or the caller's to close
   */
  public Tensor tokens() {
    return Tensors.of(tokens, sequences, length);
  }

  /**
   * Packs the positions that predict response tokens.
   *
   * @param hidden {@code [B, T, hidden]}, the body's result for {@link #tokens}
   * @return {@code [N, hidden]}, with a graph if hidden has one; in the caller's scope, or the
   *     caller's to close
   * @throws IllegalArgumentException if hidden has another number of sequences or positions
   */
  public Tensor gather(Tensor hidden) {
    if (hidden.dim() != 3 || hidden.size(0) != sequences || hidden.size(1) != length) {
      throw new IllegalArgumentException(
          "hidden is "
              + Arrays.toString(hidden.shape())
              + ", must be ["
              + sequences
              + ", "
              + length
              + ", hidden]");
    }
    PointerScope outer = PointerScope.getInnerScope();
    try (PointerScope scope = new PointerScope()) {
      Tensor flat = hidden.view((long) sequences * length, hidden.size(2));
      return Scopes.escape(scope, outer, flat.index_select(0, Tensors.of(rows)));
    }
  }

  /**
   * Response tokens, packed.
   *
   * @return N token ids
   */
  public long[] targets() {
    return targets.clone();
  }

  /**
   * Where each sequence's response begins among the packed rows.
   *
   * @return B + 1 offsets, the last of them N
   */
  public long[] offsets() {
    return offsets.clone();
  }

  /**
   * Number of packed rows.
   *
   * @return the sum of all response lengths
   */
  public int rows() {
    return rows.length;
  }

  /**
   * Positions the body runs over that are padding.
   *
   * @return {@code B * T} less the real ones
   */
  public long paddedTokens() {
    return tokens.length - bodyTokens;
  }

  /**
   * Positions the body runs over, padding included.
   *
   * @return {@code B * T}
   */
  public long bodyTokens() {
    return tokens.length;
  }
}
