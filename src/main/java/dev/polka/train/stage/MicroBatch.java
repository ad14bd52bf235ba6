package dev.polka.train.stage;

import dev.polka.kernel.Targets;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.torch.Tensors;
import dev.polka.train.model.ResponseBatch;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.bytedeco.pytorch.Tensor;

/**
 * Sequences that pass through the body together: neighbours in length, padded at the right to the
 * longest. The head and the loss see only the rows that predict a response token, one after
 * another, sequence after sequence.
 *
 * <p>{@code members} are the places of the sequences in the batch that was cut; arrays about that
 * batch are picked by them.
 */
final class MicroBatch implements AutoCloseable {
  private final ResponseBatch layout;
  private final int[] members;
  private final long[] starts;
  private final Longs targets;
  private final Longs offsets;

  private MicroBatch(List<Sequence> batch, int[] members) {
    this.members = members;
    List<Sequence> own = Arrays.stream(members).mapToObj(batch::get).toList();
    layout =
        ResponseBatch.of(
            own.stream().map(Sequence::prompt).toList(),
            own.stream().map(Sequence::response).toList());
    starts = layout.offsets();
    targets = Longs.copyOf(layout.targets());
    offsets = Longs.copyOf(starts);
  }

  /**
   * Cuts a batch by length, so that little is padded and no part has more than {@code maxTokens}
   * body tokens, padding included (but one sequence at least).
   */
  static List<MicroBatch> cut(List<Sequence> batch, int maxTokens) {
    Integer[] order = new Integer[batch.size()];
    Arrays.setAll(order, i -> i);
    Arrays.sort(order, Comparator.comparingInt(i -> batch.get(i).bodyLength()));
    List<MicroBatch> parts = new ArrayList<>();
    int from = 0;
    for (int i = 1; i <= order.length; i++) {
      long padded = i == order.length ? 0 : (i - from + 1L) * batch.get(order[i]).bodyLength();
      if (i == order.length || padded > maxTokens) {
        int[] members = Arrays.stream(order, from, i).mapToInt(Integer::intValue).toArray();
        parts.add(new MicroBatch(batch, members));
        from = i;
      }
    }
    return parts;
  }

  /** Where tokens and rows lie. */
  ResponseBatch layout() {
    return layout;
  }

  /** Number of sequences. */
  int size() {
    return members.length;
  }

  /** Rows of the head and of the loss: the sum of the responses' lengths. */
  int rows() {
    return layout.rows();
  }

  /** The response token that each row predicts. */
  Targets targets() {
    return Targets.of(targets);
  }

  /** The same as int64 {@code [N, 1]}, for libtorch. */
  Tensor targetTensor() {
    return Tensors.of(layout.targets(), rows(), 1);
  }

  /** Targets and sequences, for the policy loss. */
  TokenBatch batch() {
    return TokenBatch.of(targets(), offsets);
  }

  /** Number of response tokens of a sequence. */
  int tokens(int sequence) {
    return (int) (starts[sequence + 1] - starts[sequence]);
  }

  /** Place in the whole batch of the sequence that a row belongs to. */
  int member(int row) {
    int place = Arrays.binarySearch(starts, row);
    return members[place >= 0 ? place : -place - 2];
  }

  /** One value per sequence of the whole batch, picked for this part's sequences. */
  Floats perSequence(float[] ofBatch) {
    Floats picked = Floats.allocate(size());
    for (int s = 0; s < size(); s++) {
      picked.set(s, ofBatch[members[s]]);
    }
    return picked;
  }

  /** One value per response token of the whole batch, picked for this part's rows. */
  Floats perToken(float[][] ofBatch) {
    Floats picked = Floats.allocate(rows());
    for (int s = 0; s < size(); s++) {
      for (int i = 0; i < tokens(s); i++) {
        picked.set(starts[s] + i, ofBatch[members[s]][i]);
      }
    }
    return picked;
  }

  /** Row weights that choose sequences: 1 where {@code ofBatch} says {@code which}, else 0. */
  Floats chosen(int[] ofBatch, int which) {
    Floats weights = Floats.allocate(rows());
    for (int s = 0; s < size(); s++) {
      for (int i = 0; i < tokens(s); i++) {
        weights.set(starts[s] + i, ofBatch[members[s]] == which ? 1 : 0);
      }
    }
    return weights;
  }

  /** Response tokens per sequence, for a normalizer. */
  Longs tokenCounts() {
    Longs counts = Longs.allocate(size());
    for (int s = 0; s < size(); s++) {
      counts.set(s, tokens(s));
    }
    return counts;
  }

  @Override
  public void close() {
    targets.close();
    offsets.close();
  }
}
