package dev.polka.train.stage;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Training cannot go on: a loss or a gradient is not finite. The message says where; the last
 * checkpoint is as it was.
 */
public final class TrainingFailure extends RuntimeException {
  private static final long serialVersionUID = 1;
  private static final int SHOWN = 5;

  TrainingFailure(String message) {
    super(message);
  }

  /** The same failure with the stage and step it happened in. */
  TrainingFailure at(long seed, String stage, long step) {
    TrainingFailure located =
        new TrainingFailure(
            String.format("seed %d, stage '%s', step %d: %s", seed, stage, step, getMessage()));
    located.setStackTrace(getStackTrace());
    return located;
  }

  /** Names the sequences of the batch whose logits are not finite. */
  static TrainingFailure ofLoss(MicroBatch part, List<Sequence> batch, Tensor logits, double loss) {
    boolean[] finite = finiteRows(logits);
    Set<Integer> sequences = new TreeSet<>();
    for (int row = 0; row < finite.length; row++) {
      if (!finite[row]) {
        sequences.add(part.member(row));
      }
    }
    List<String> shown = new ArrayList<>();
    for (int s : sequences.stream().limit(SHOWN).toList()) {
      shown.add(
          s
              + " (prompt of "
              + batch.get(s).prompt().length
              + ", response of "
              + batch.get(s).response().length
              + " tokens)");
    }
    String rows =
        sequences.isEmpty()
            ? "every logit is finite"
            : sequences.size()
                + " of "
                + batch.size()
                + " sequences have logits that are not: "
                + String.join(", ", shown);
    return new TrainingFailure("the loss is " + loss + "; " + rows);
  }

  private static boolean[] finiteRows(Tensor logits) {
    Tensor finite = torch.isfinite(logits.detach()).to(ScalarType.Float).mean(1);
    boolean[] rows = new boolean[(int) logits.size(0)];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = finite.get(i).item_float() == 1f;
    }
    return rows;
  }
}
