package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.torch.Tensors;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;

class ResponseBatchTest {
  private final ResponseBatch batch =
      ResponseBatch.of(
          List.of(new int[] {1, 2, 3}, new int[] {4}, new int[] {5, 6}),
          List.of(new int[] {7, 8}, new int[] {9}, new int[0]));

  @Test
  void theHeadSeesExactlyTheResponseTokens() {
    assertThat(batch.rows()).isEqualTo(2 + 1);
    assertThat(batch.targets()).containsExactly(7, 8, 9);
    assertThat(batch.offsets()).containsExactly(0, 2, 3, 3);
  }

  @Test
  void theBodyReadsAllButTheLastResponseToken() {
    try (PointerScope scope = new PointerScope()) {
      Tensor tokens = batch.tokens();
      long[] ids = new long[12];
      tokens.data_ptr_long().get(ids);

      assertThat(tokens.shape()).containsExactly(3, 4);
      assertThat(ids).containsExactly(1, 2, 3, 7, 4, 0, 0, 0, 5, 6, 0, 0);
    }
  }

  @Test
  void thePaddingIsCounted() {
    assertThat(batch.bodyTokens()).isEqualTo(12);
    assertThat(batch.paddedTokens()).isEqualTo(12 - 4 - 1 - 2);
  }

  @Test
  void gatheringTakesThePositionBeforeEachResponseToken() {
    try (PointerScope scope = new PointerScope()) {
      long[] positions = new long[12];
      for (int i = 0; i < positions.length; i++) {
        positions[i] = i;
      }
      Tensor gathered = batch.gather(Tensors.of(positions, 3, 4, 1));
      long[] rows = new long[3];
      gathered.data_ptr_long().get(rows);

      assertThat(gathered.shape()).containsExactly(3, 1);
      assertThat(rows).containsExactly(2, 3, 4);
    }
  }

  @Test
  void hiddenStatesOfAnotherBatchAreRefused() {
    try (PointerScope scope = new PointerScope()) {
      assertThatThrownBy(() -> batch.gather(torch.zeros(3, 5, 2)))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("hidden is [3, 5, 2], must be [3, 4, hidden]");
    }
  }

  @Test
  void anEmptyPromptIsRefused() {
    assertThatThrownBy(() -> ResponseBatch.of(List.of(new int[0]), List.of(new int[] {1})))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("prompts[0] is empty, must have a token");
  }
}
