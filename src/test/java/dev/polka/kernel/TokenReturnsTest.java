package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Bytes;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import org.junit.jupiter.api.Test;

class TokenReturnsTest {
  private static final Longs TWO = Longs.copyOf(0, 3, 5);
  private static final Floats REWARDS = Floats.copyOf(1, 2, 4, 8, 16);
  private static final Floats VALUES = Floats.copyOf(1, 1, 1, 2, 2);

  private static float[] returns(TokenReturns operation, TokenReturnsInput input) {
    try (TokenReturnsResult r = operation.forward(input)) {
      return r.returns().toArray();
    }
  }

  private static float[] advantages(TokenReturns operation, TokenReturnsInput input) {
    try (TokenReturnsResult r = operation.forward(input)) {
      return r.advantages().toArray();
    }
  }

  @Test
  void withoutADiscountReturnsAreSumsOfWhatFollows() {
    assertThat(returns(TokenReturns.discounted(1), TokenReturnsInput.of(REWARDS, TWO)))
        .containsExactly(7, 6, 4, 24, 16);
  }

  @Test
  void aDiscountWeighsWhatIsFarAwayLess() {
    assertThat(returns(TokenReturns.discounted(0.5), TokenReturnsInput.of(REWARDS, TWO)))
        .containsExactly(3, 4, 4, 16, 16);
  }

  @Test
  void maskedTokensArePassedOver() {
    Floats rewards = Floats.copyOf(1, Float.NaN, 2, 4, Float.NaN);
    TokenReturnsInput input =
        TokenReturnsInput.of(rewards, Longs.copyOf(0, 5))
            .withMask(Bytes.copyOf(true, false, true, true, false));

    assertThat(returns(TokenReturns.discounted(0.5), input)).containsExactly(3, 0, 4, 4, 0);
  }

  @Test
  void aBootstrapValueStandsForWhatWasCutOff() {
    TokenReturnsInput input =
        TokenReturnsInput.of(REWARDS, TWO).withBootstrap(Floats.copyOf(100, 200));

    assertThat(returns(TokenReturns.discounted(0.5), input))
        .containsExactly(15.5f, 29, 54, 66, 116);
  }

  @Test
  void lambdaZeroIsTheOneStepError() {
    TokenReturnsInput input = TokenReturnsInput.of(REWARDS, TWO).withValues(VALUES);

    assertThat(advantages(TokenReturns.gae(0.5, 0), input)).containsExactly(0.5f, 1.5f, 3, 7, 14);
  }

  @Test
  void lambdaOneIsTheReturnLessTheValue() {
    TokenReturnsInput input = TokenReturnsInput.of(REWARDS, TWO).withValues(VALUES);

    assertThat(advantages(TokenReturns.gae(1, 1), input)).containsExactly(6, 5, 3, 22, 14);
    assertThat(returns(TokenReturns.gae(1, 1), input)).containsExactly(7, 6, 4, 24, 16);
  }

  @Test
  void targetsOfTheValueModelCanHaveALambdaOfTheirOwn() {
    TokenReturnsInput input = TokenReturnsInput.of(REWARDS, TWO).withValues(VALUES);
    TokenReturns decoupled = TokenReturns.gae(0.5, 0).withValueLambda(1);

    assertThat(advantages(decoupled, input)).containsExactly(0.5f, 1.5f, 3, 7, 14);
    assertThat(returns(decoupled, input)).containsExactly(3, 4, 4, 16, 16);
  }

  @Test
  void lambdaCanGrowWithTheLength() {
    TokenReturnsInput input = TokenReturnsInput.of(REWARDS, TWO).withValues(VALUES);
    TokenReturns adaptive = TokenReturns.gae(1, 1).withLengthAdaptiveLambda(2.0 / 3);
    // 3 tokens: 1 - 1 / 2. 2 tokens: 1 - 1 / (4 / 3).
    TokenReturnsInput given = input.withSequenceLambda(Floats.copyOf(0.5f, 0.25f));

    assertThat(advantages(adaptive, input)).containsExactly(2.75f, 3.5f, 3, 11.5f, 14);
    assertThat(advantages(TokenReturns.gae(1, 1), given))
        .containsExactly(2.75f, 3.5f, 3, 11.5f, 14);
    assertThat(returns(adaptive, input)).containsExactly(7, 6, 4, 24, 16);
  }

  @Test
  void discountedReturnsHaveNoAdvantages() {
    try (TokenReturnsResult r =
        TokenReturns.discounted(1).forward(TokenReturnsInput.of(REWARDS, TWO))) {
      assertThatThrownBy(r::advantages).isInstanceOf(IllegalStateException.class);
    }
  }

  @Test
  void valuesMustBeThereExactlyWhereTheyAreUsed() {
    TokenReturnsInput without = TokenReturnsInput.of(REWARDS, TWO);

    assertThatThrownBy(() -> TokenReturns.gae(1, 1).forward(without))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("values: are missing");
    assertThatThrownBy(() -> TokenReturns.discounted(1).forward(without.withValues(VALUES)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageStartingWith("values: were given");
  }

  @Test
  void factorsOutsideTheUnitIntervalAreRefused() {
    assertThatThrownBy(() -> TokenReturns.discounted(1.01))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("gamma: 1.01 is outside [0, 1]");
    assertThatThrownBy(() -> TokenReturns.gae(1, Double.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("lambda: NaN is outside [0, 1]");
    TokenReturnsInput input =
        TokenReturnsInput.of(REWARDS, TWO)
            .withValues(VALUES)
            .withSequenceLambda(Floats.copyOf(0.5f, 1.5f));
    assertThatThrownBy(() -> TokenReturns.gae(1, 1).forward(input))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("sequenceLambda: 1.5 of sequence 1");
  }

  @Test
  void partsThatDoNotFitEachOtherAreRefused() {
    TokenReturnsInput input = TokenReturnsInput.of(REWARDS, TWO).withValues(Floats.copyOf(1, 2));

    assertThatThrownBy(() -> TokenReturns.gae(1, 1).forward(input))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("values: has 2 elements, 5 are needed");
    assertThatThrownBy(
            () ->
                TokenReturns.discounted(1)
                    .forward(TokenReturnsInput.of(REWARDS, Longs.copyOf(0, 3, 4))))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("ends at 4, must end at 5");
  }

  @Test
  void noTokensGiveNoReturns() {
    TokenReturnsInput none = TokenReturnsInput.of(Floats.copyOf(), Longs.copyOf(0, 0));

    assertThat(returns(TokenReturns.discounted(1), none)).isEmpty();
  }
}
