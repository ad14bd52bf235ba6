package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.TrainingFailure;
import dev.polka.train.data.ArithmeticTask;
import dev.polka.train.data.CharTokenizer;
import dev.polka.train.data.Problem;
import dev.polka.train.data.PromptEncoder;
import dev.polka.train.data.Verifier;
import dev.polka.train.model.Rollout;
import java.util.List;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SamplerTest {
  private static final CharTokenizer TOKENIZER = CharTokenizer.of(ArithmeticTask.symbols());

  private record Scoring(DoubleSupplier score) implements Verifier {
    @Override
    public String name() {
      return "scoring";
    }

    @Override
    public double score(Problem problem, String response) {
      assertThat(response).isEqualTo("3");
      return score.getAsDouble();
    }
  }

  private static float[] scores(DoubleSupplier score) {
    var encoder = new PromptEncoder(TOKENIZER, "{prompt}", 16, 4);
    var problem = new Problem("1+2=", "3", "3", "sums.jsonl:7");
    int[] response = {TOKENIZER.encode("3")[0], TOKENIZER.endOfSequence()};
    var rollout = new Rollout(encoder.prompt(problem), response, new float[2], true);
    var responses = new Sampler.Responses(List.of(problem), 1, List.of(rollout));
    return new Sampler(encoder, new Scoring(score), 8).scores(responses);
  }

  @Test
  void scoresBetweenRightAndWrongAreTaken() {
    assertThat(scores(() -> 0.25)).containsExactly(0.25f);
    assertThat(scores(() -> 1)).containsExactly(1);
  }

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, -0.1, 1.5, Double.POSITIVE_INFINITY})
  void aScoreThatIsNoneNamesVerifierAndProblem(double score) {
    assertThatThrownBy(() -> scores(() -> score))
        .isInstanceOf(TrainingFailure.class)
        .hasMessage(
            "verifier "
                + Scoring.class.getName()
                + " gave the score "
                + score
                + ", must be in [0, 1], on problem sums.jsonl:7 ('1+2=')");
  }

  @Test
  void anExceptionOfAVerifierNamesItAndTheProblemOnOneLine() {
    DoubleSupplier throwing =
        () -> {
          throw new IllegalStateException("no\nway");
        };
    assertThatThrownBy(() -> scores(throwing))
        .isInstanceOf(TrainingFailure.class)
        .hasMessage(
            "verifier "
                + Scoring.class.getName()
                + " threw java.lang.IllegalStateException: no on problem sums.jsonl:7 ('1+2=')")
        .hasCauseInstanceOf(IllegalStateException.class);
  }
}
