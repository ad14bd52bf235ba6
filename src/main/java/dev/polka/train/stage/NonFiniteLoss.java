package dev.polka.train.stage;

import dev.polka.train.TrainingFailure;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/** Finds what made a loss NaN or infinite. */
final class NonFiniteLoss {
  private static final int SHOWN = 5;

  private NonFiniteLoss() {}

  /** Names the sequences of the batch whose logits are not finite. */
  static TrainingFailure of(MicroBatch part, List<Sequence> batch, Tensor logits, double loss) {
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
            ? "every logit of the trained model is finite"
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
