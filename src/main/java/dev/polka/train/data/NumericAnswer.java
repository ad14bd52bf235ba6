package dev.polka.train.data;

import java.math.BigDecimal;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Reads numbers as people write them in answers: an optional sign ({@code -}, {@code +} or the
 * Unicode minus), an optional currency sign, digits with or without thousands commas, decimals, an
 * optional percent sign. {@code $1,234.50} is 1234.5, {@code .5} is 0.5, {@code 42.} is 42, {@code
 * 30%} is 30. No exponents, fractions or words.
 */
public final class NumericAnswer {
  private static final String NUMBER =
      "(?<sign>[-+\u2212]?)[$\u20AC\u00A3]?"
          + "(?<value>(?:\\d{1,3}(?:,\\d{3})+(?!\\d)|\\d+)(?:\\.\\d+)?|\\.\\d+)";
  private static final Pattern WHOLE = Pattern.compile(NUMBER + "\\s?[%\u20AC\u00A3]?\\.?");
  // In "16-3" the last number is 3: a sign that follows a digit, a letter or a bracket subtracts.
  private static final Pattern WITHIN =
      Pattern.compile(
          "(?<![\\w.])" + NUMBER + "|(?<=[\\w)])[-+\u2212]" + NUMBER.replace("?<", "?<b"));
  // Longer digit strings are no answer, and reading them takes time that grows with the square.
  private static final int MOST_DIGITS = 1000;

  private NumericAnswer() {}

  /**
   * Reads a text that is one number and nothing else, blanks around it aside.
   *
   * @param text the text
   * @return the number, or empty if the text is anything else
   */
  public static Optional<BigDecimal> parse(String text) {
    Matcher matcher = WHOLE.matcher(text.strip());
    return matcher.matches()
        ? number(matcher.group("sign"), matcher.group("value"))
        : Optional.empty();
  }

  /**
   * Finds the last number in a text.
   *
   * @param text the text
   * @return the number, or empty if the text has none
   */
  public static Optional<BigDecimal> last(String text) {
    Matcher matcher = WITHIN.matcher(text);
    Optional<BigDecimal> last = Optional.empty();
    while (matcher.find()) {
      boolean plain = matcher.group("value") != null;
      last =
          plain
              ? number(matcher.group("sign"), matcher.group("value"))
              : number(matcher.group("bsign"), matcher.group("bvalue"));
    }
    return last;
  }

  private static Optional<BigDecimal> number(String sign, String value) {
    if (value.length() > MOST_DIGITS) {
      return Optional.empty();
    }
    var magnitude = new BigDecimal(value.replace(",", ""));
    boolean negative = sign.equals("-") || sign.equals("\u2212");
    return Optional.of(negative ? magnitude.negate() : magnitude);
  }
}
