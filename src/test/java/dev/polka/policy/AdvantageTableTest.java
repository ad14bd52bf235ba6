package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.GroupAdvantage;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code docs/advantages.md} names what there is, and all of it. */
class AdvantageTableTest {
  private static final Path TABLE = Path.of("docs", "advantages.md");
  private static final Pattern ROW = Pattern.compile("\\| [^|]+ \\| `([^`]+)` \\| .*");

  /** The expressions of the second column, and what they are. */
  static Stream<Arguments> rows() {
    return Stream.of(
        row(
            "OutcomeAdvantage.of(GroupAdvantage.grpo())",
            () -> OutcomeAdvantage.of(GroupAdvantage.grpo())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.grpoLeaveOneOut())",
            () -> OutcomeAdvantage.of(GroupAdvantage.grpoLeaveOneOut())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.grpo()).withBatchStd()",
            () -> OutcomeAdvantage.of(GroupAdvantage.grpo()).withBatchStd()),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.drGrpo())",
            () -> OutcomeAdvantage.of(GroupAdvantage.drGrpo())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.rloo())",
            () -> OutcomeAdvantage.of(GroupAdvantage.rloo())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.opo())",
            () -> OutcomeAdvantage.of(GroupAdvantage.opo())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.maxRl())",
            () -> OutcomeAdvantage.of(GroupAdvantage.maxRl())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.passAtK())",
            () -> OutcomeAdvantage.of(GroupAdvantage.passAtK())),
        row(
            "OutcomeAdvantage.of(GroupAdvantage.softMean(1))",
            () -> OutcomeAdvantage.of(GroupAdvantage.softMean(1))),
        row("OutcomeAdvantage.raw()", OutcomeAdvantage::raw),
        row("Gpg.standard()", Gpg::standard),
        row("ReinforcePlusPlus.standard()", ReinforcePlusPlus::standard),
        row("ReinforcePlusPlusBaseline.standard()", ReinforcePlusPlusBaseline::standard),
        row("ReMax.standard()", ReMax::standard),
        row("Gae.of(1, 0.95)", () -> Gae.of(1, 0.95)),
        row("Gae.of(1, 0.95).withValueLambda(1)", () -> Gae.of(1, 0.95).withValueLambda(1)),
        row(
            "Gae.of(1, 0.95).withValueLambda(1).withLengthAdaptiveLambda(0.05)",
            () -> Gae.of(1, 0.95).withValueLambda(1).withLengthAdaptiveLambda(0.05)),
        row("Gdpo.of(1, 1)", () -> Gdpo.of(1, 1)),
        row("OptimalTokenBaseline.standard()", OptimalTokenBaseline::standard));
  }

  private static Arguments row(String expression, Supplier<AdvantageEstimator> estimator) {
    return Arguments.of(expression, estimator);
  }

  private static List<String> expressions() throws IOException {
    return Files.readAllLines(TABLE).stream()
        .map(ROW::matcher)
        .filter(Matcher::matches)
        .map(m -> m.group(1))
        .toList();
  }

  @Test
  void theTableHasTheseRows() throws IOException {
    assertThat(expressions()).isEqualTo(rows().map(row -> (String) row.get()[0]).toList());
  }

  @ParameterizedTest
  @MethodSource("rows")
  void eachExpressionMakesAnEstimatorThatRuns(
      String expression, Supplier<AdvantageEstimator> estimator) {
    RewardBatch batch = RewardStep.of(1, 4).outcomes();

    assertThat(estimator.get().forward(batch).perRow()).hasSize(batch.layout().rows());
  }

  @Test
  void noEstimatorIsMissing() throws IOException {
    String table = Files.readString(TABLE);
    Set<String> missing = new TreeSet<>();
    for (Method method : GroupAdvantage.class.getDeclaredMethods()) {
      if (Modifier.isStatic(method.getModifiers()) && Modifier.isPublic(method.getModifiers())) {
        missing.add("GroupAdvantage." + method.getName() + "(");
      }
    }
    try (Stream<Path> sources = Files.list(Path.of("src/main/java/dev/polka/policy"))) {
      for (Path source : sources.toList()) {
        if (Files.readString(source).contains("implements AdvantageEstimator")) {
          missing.add(source.getFileName().toString().replace(".java", "."));
        }
      }
    }
    missing.removeIf(table::contains);

    assertThat(missing).isEmpty();
  }

  @Test
  void everyOptionThatTheTableNamesExists() throws IOException {
    Set<String> known = new TreeSet<>();
    for (Class<?> type :
        List.of(
            GroupAdvantage.class,
            OutcomeAdvantage.class,
            ReinforcePlusPlus.class,
            Gae.class,
            Gpg.class,
            Whitening.class,
            AdvantageEstimator.class,
            RewardBatch.class)) {
      Arrays.stream(type.getMethods()).map(Method::getName).forEach(known::add);
    }
    Matcher names = Pattern.compile("\\bwith[A-Z]\\w+").matcher(Files.readString(TABLE));
    while (names.find()) {
      assertThat(known).contains(names.group());
    }
  }
}
