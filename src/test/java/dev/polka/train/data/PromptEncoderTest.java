package dev.polka.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import java.util.List;
import org.junit.jupiter.api.Test;

class PromptEncoderTest {
  private static final CharTokenizer TOKENIZER = CharTokenizer.of(ArithmeticTask.symbols());
  private static final Problem PROBLEM = new Problem("47+38=", "58", "58", "sums.jsonl:3");

  @Test
  void promptFillsTheTemplateAndResponseIsClosed() {
    var encoder = new PromptEncoder(TOKENIZER, "={prompt}", 12, 4);
    assertThat(TOKENIZER.decode(encoder.prompt(PROBLEM))).isEqualTo("=47+38=");
    assertThat(encoder.response(PROBLEM, "58")).containsExactly(6, 9, 0);
  }

  @Test
  void longestPromptThatFitsIsAcceptedAndOneMoreTokenIsRefused() {
    assertThat(new PromptEncoder(TOKENIZER, "{prompt}", 10, 4).prompt(PROBLEM)).hasSize(6);
    var tight = new PromptEncoder(TOKENIZER, "{prompt}", 9, 4);
    assertThatThrownBy(() -> tight.check(List.of(PROBLEM), false))
        .isInstanceOf(InputException.class)
        .hasMessage(
            "sums.jsonl:3: the prompt has 6 tokens; the context of 9 leaves 5 beside a response of 4");
  }

  @Test
  void solutionsMustFitWithTheirEnd() {
    var encoder = new PromptEncoder(TOKENIZER, "{prompt}", 8, 2);
    encoder.check(List.of(PROBLEM), false);
    assertThatThrownBy(() -> encoder.check(List.of(PROBLEM), true))
        .isInstanceOf(InputException.class)
        .hasMessage("sums.jsonl:3: the solution has 3 tokens with its end, responses may have 2");
  }

  @Test
  void unknownCharactersAreLocated() {
    var encoder = new PromptEncoder(TOKENIZER, "{prompt}", 20, 4);
    assertThatThrownBy(() -> encoder.prompt(new Problem("4x", "1", "1", "f:7")))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith("f:7: character 'x' (U+0078) at position 1");
  }

  @Test
  void impossibleSizesAndTemplatesAreRefused() {
    assertThatThrownBy(() -> new PromptEncoder(TOKENIZER, "Q:", 8, 2))
        .hasMessage("the prompt template 'Q:' has no {prompt}");
    assertThatThrownBy(() -> new PromptEncoder(TOKENIZER, "{prompt}", 8, 8))
        .hasMessage(
            "a response may have 8 tokens; must be at least 1 and less than the context of 8");
  }
}
