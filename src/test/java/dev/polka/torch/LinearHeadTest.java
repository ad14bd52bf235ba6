package dev.polka.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import dev.polka.kernel.LogProb;
import dev.polka.kernel.Targets;
import dev.polka.memory.DType;
import dev.polka.memory.Device;
import dev.polka.memory.Longs;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class LinearHeadTest {
  private PointerScope scope;
  private Tensor weight;
  private Longs ids;

  @BeforeEach
  void open() {
    scope = new PointerScope();
    weight = torch.zeros(7, 4);
    ids = Longs.copyOf(1, 2);
  }

  @AfterEach
  void close() {
    scope.close();
    ids.close();
  }

  private static void refused(ThrowingCallable call, String message) {
    assertThatIllegalArgumentException().isThrownBy(call).withMessageContaining(message);
  }

  private void forward(Tensor hidden, LinearHead head) {
    LinearLogProb.of(LogProb.plain()).forward(hidden, head, Targets.of(ids)).close();
  }

  @Test
  void whatIsNoWeightIsRefusedByName() {
    refused(
        () -> LinearHead.of(torch.zeros(7)),
        "weight: tensor [7] is refused: [vocabulary, width] with at least one of each is needed");
    refused(() -> LinearHead.of(torch.zeros(0, 4)), "at least one of each");
    refused(() -> LinearHead.of(weight.t()), "weight: tensor [4, 7] is refused: it has gaps");
    refused(
        () -> LinearHead.of(weight.to(torch.ScalarType.Double)),
        "its dtype is Double, not Float or BFloat16");
    refused(() -> LinearHead.of(weight.to(torch.ScalarType.Half)), "its dtype is Half");
    refused(() -> LinearHead.of(weight.to_sparse()), "not dense");
    refused(() -> LinearHead.of(new Tensor()), "weight: the tensor is closed or undefined");
  }

  @Test
  void whatDoesNotFitTheWeightIsRefusedByName() {
    LinearHead head = LinearHead.of(weight);
    refused(() -> head.withBias(torch.zeros(6)), "bias: tensor [6] is refused: [7] is needed");
    refused(
        () -> head.withBias(torch.zeros(7).to(torch.ScalarType.BFloat16)),
        "its dtype is BF16, F32 is needed");
    refused(() -> head.withBiasGradient(torch.zeros(7)), "the head has no bias");
    refused(() -> head.withWeightGradient(torch.zeros(4, 7)), "[7, 4] is needed");
    refused(
        () -> head.withWeightGradient(weight.to(torch.ScalarType.BFloat16)),
        "weightGradient: tensor [7, 4] is refused: its dtype is BF16, F32 is needed");
    refused(() -> head.withWeightGradient(torch.zeros(4, 7).t()), "it has gaps");
    refused(() -> head.withScale(0), "scale: 0.0 is 0 or not finite");
    refused(() -> head.withScale(Float.NaN), "scale: NaN");
  }

  @Test
  void hiddenStatesThatDoNotFitAreRefusedByName() {
    LinearHead head = LinearHead.of(weight);
    refused(
        () -> forward(torch.zeros(2, 5), head),
        "hidden: tensor [2, 5] is refused: the weight is [7, 4]");
    refused(() -> forward(torch.zeros(4), head), "it has 1 dimensions, 2 or 3 are needed");
    refused(() -> forward(torch.zeros(4, 2).t(), head), "hidden: tensor [2, 4] is refused: it has");
    refused(
        () -> forward(torch.zeros(2, 4).to(torch.ScalarType.BFloat16), head),
        "its dtype is BF16, the weight's F32");
    Tensor closed = torch.zeros(2, 4);
    closed.close();
    refused(() -> forward(closed, head), "hidden: the tensor is closed or undefined");
  }

  @Test
  void aHeadWhoseWeightWasClosedIsRefused() {
    Tensor own = torch.zeros(7, 4);
    LinearHead head = LinearHead.of(own);
    own.close();
    refused(() -> forward(torch.zeros(2, 4), head), "weight: the tensor is closed");
  }

  @Test
  void aBudgetThatDoesNotHoldARowIsRefusedWithWhatOneTakes() {
    LinearHead head = LinearHead.of(weight);
    long row = HeadChunks.bytesPerRow(head, true);
    refused(
        () ->
            LinearLogProb.of(LogProb.plain())
                .withMemoryBudget(row - 1)
                .forward(torch.zeros(2, 4), head, Targets.of(ids)),
        "memoryBudget: " + (row - 1) + " bytes are less than the " + row + " that one row needs");
    refused(
        () -> LinearLogProb.of(LogProb.plain()).withMemoryBudget(0),
        "memoryBudget: 0 is not at least 1");
  }

  @Test
  void chunksTakeNoMoreThanTheBudget() {
    for (torch.ScalarType type :
        new torch.ScalarType[] {torch.ScalarType.Float, torch.ScalarType.BFloat16}) {
      HeadCase c = HeadCase.masked(type);
      for (long budget : new long[] {4_000, 10_000, 50_000, 1 << 20}) {
        long rows = HeadChunks.rows(c.head(), new MemoryBudget(budget));
        KeptRows kept = KeptRows.of(c.targets(), HeadCase.ROWS, Device.CPU, 131);
        try (LinearGradients gradients = LinearGradients.allocate(c.head(), c.hidden)) {
          HeadChunks chunks = new HeadChunks(c.hidden, c.head(), kept, rows, gradients);
          long held = Math.min(rows, kept.count());
          assertThat(chunks.allocated())
              .isEqualTo(held * HeadChunks.bytesPerRow(c.head(), true))
              .isLessThanOrEqualTo(budget - HeadChunks.fixedBytes(c.head()));
        }
      }
    }
  }

  @Test
  void theDefaultBudgetHoldsManyRowsOfALargeVocabulary() {
    Tensor large = TensorView.empty(DType.BF16, Device.CPU, 151936, 1024);
    assertThat(HeadChunks.rows(LinearHead.of(large), MemoryBudget.DEFAULT)).isEqualTo(256);
  }
}
