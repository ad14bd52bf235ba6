package dev.polka.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import java.math.BigDecimal;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class VerifierTest {
  private static Problem answered(String answer) {
    return new Problem("?", answer, answer, "test:1");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "42|42",
        "-7|-7",
        "\u22127|-7",
        "+7|7",
        "1,234,567|1234567",
        "1234.50|1234.5",
        ".5|0.5",
        "42.|42",
        "$18|18",
        "-$3|-3",
        "30%|30",
        "' 9 '|9",
        "007|7"
      })
  void numbersAreReadAsPeopleWriteThem(String text, BigDecimal expected) {
    assertThat(NumericAnswer.parse(text))
        .hasValueSatisfying(number -> assertThat(number).isEqualByComparingTo(expected));
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "four", "1,23", "1,2345", "4 2", "1e3", "1/2", "--4", "4.2.1", "."})
  void otherTextsAreNoNumber(String text) {
    assertThat(NumericAnswer.parse(text)).isEmpty();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "so 16-3 = 13 eggs|13", "the rest is 16-3|3", "it falls to -4 degrees.|-4", "x=-4|-4",
        "first 5, then 1,200|1200", "about $2.50!|2.50", "7 (or 8)|8", "row B2 has 6 seats|6"
      })
  void lastNumberOfATextIsFound(String text, BigDecimal expected) {
    assertThat(NumericAnswer.last(text))
        .hasValueSatisfying(number -> assertThat(number).isEqualByComparingTo(expected));
  }

  @Test
  void absurdlyLongNumbersAreNoAnswer() {
    assertThat(NumericAnswer.parse("9".repeat(2_000_000))).isEmpty();
  }

  @Test
  void exactMatchComparesTextAndIgnoresBlanksAround() {
    var exact = Verifier.named("exact");
    assertThat(exact.score(answered("58"), " 58\n")).isEqualTo(1);
    assertThat(exact.score(answered("58"), "58.0")).isZero();
    assertThat(exact.score(answered("58"), "")).isZero();
  }

  @Test
  void numericComparesValuesWhateverTheNotation() {
    var numeric = Verifier.named("numeric");
    assertThat(numeric.score(answered("1,450"), "1450.00")).isEqualTo(1);
    assertThat(numeric.score(answered("1,450"), "work\n#### $1,450\nand more")).isEqualTo(1);
    assertThat(numeric.score(answered("1,450"), "it is 1450")).isZero();
    assertThat(numeric.score(answered("1,450"), "#### 1450\n#### 7")).isZero();
    assertThat(numeric.score(answered("1,450"), "1450 ####")).isZero();
  }

  @Test
  void numericLastTakesTheLastNumber() {
    var last = Verifier.named("numeric-last");
    assertThat(last.score(answered("13"), "16 - 3 is 13, I think")).isEqualTo(1);
    assertThat(last.score(answered("16"), "16 - 3 is 13, I think")).isZero();
    assertThat(last.score(answered("13"), "no idea")).isZero();
  }

  @Test
  void answerThatIsNoNumberIsNamed() {
    assertThatThrownBy(() -> Verifier.named("numeric").score(answered("blue"), "4"))
        .isInstanceOf(InputException.class)
        .hasMessage("test:1: the answer 'blue' is not a number, which verifier 'numeric' needs");
  }

  @Test
  void userClassesAreFoundByTheServiceLoader() {
    assertThat(Verifier.named("even-length").score(answered("1"), "abc")).isEqualTo(0.25);
  }

  @Test
  void unknownNamesListTheKnownOnes() {
    assertThatThrownBy(() -> Verifier.named("exakt"))
        .isInstanceOf(InputException.class)
        .hasMessage(
            "no verifier is named 'exakt'; there are [exact, numeric, numeric-last, even-length]");
  }
}
