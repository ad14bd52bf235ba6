package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.Groups;
import dev.polka.kernel.KlEstimator;
import dev.polka.kernel.KlGradient;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.PreferenceLoss;
import dev.polka.kernel.TokenLayout;
import dev.polka.kernel.ValueLoss;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.assertj.core.data.Offset;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code docs/objectives.md} says what the code does, and names all that there is. */
class ObjectiveTableTest {
  private static final String PAGE = read();

  /** Classes whose public factories the page lists. */
  private static final List<Class<?>> LISTED =
      List.of(
          PolicyLoss.class,
          Aggregation.class,
          ImportanceWeight.class,
          Rejection.class,
          KlController.class,
          PreferenceLoss.class,
          ValueLoss.class);

  private static String read() {
    try {
      return Files.readString(Path.of("docs", "objectives.md"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<Method> factories(Class<?> type) {
    return Arrays.stream(type.getDeclaredMethods())
        .filter(m -> Modifier.isStatic(m.getModifiers()) && Modifier.isPublic(m.getModifiers()))
        .filter(m -> m.getReturnType() == type)
        .toList();
  }

  private static Set<String> options(Class<?> type) {
    return Stream.concat(
            Arrays.stream(type.getMethods()), Arrays.stream(type.getSuperclass().getMethods()))
        .map(Method::getName)
        .filter(name -> name.startsWith("with"))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static Set<String> missing(Stream<String> names) {
    return names
        .filter(name -> !Pattern.compile("`" + Pattern.quote(name) + "\\b").matcher(PAGE).find())
        .collect(Collectors.toCollection(TreeSet::new));
  }

  @Test
  void everyLossSaysOfItselfWhatThePageSays() throws ReflectiveOperationException {
    List<String> said = new ArrayList<>();
    for (Method method : factories(PolicyLoss.class)) {
      boolean coefficient = method.getParameterCount() == 1;
      Object loss = coefficient ? method.invoke(null, 0.1) : method.invoke(null);
      said.add(
          String.format(
              "| `PolicyLoss.%s(%s)` | %s |", method.getName(), coefficient ? "0.1" : "", loss));
    }
    said.add(String.format("| `new Gvpo(0.1f).loss()` | %s |", new Gvpo(0.1f).loss()));

    assertThat(said.stream().filter(row -> !PAGE.contains(row))).isEmpty();
  }

  @Test
  void noFactoryIsMissing() {
    assertThat(
            missing(
                LISTED.stream()
                    .flatMap(
                        type ->
                            factories(type).stream()
                                .map(m -> type.getSimpleName() + "." + m.getName()))))
        .isEmpty();
  }

  @Test
  void noOptionOfALossIsMissing() {
    Set<String> ofLogits = new TreeSet<>(options(PolicyLoss.class.getSuperclass().getSuperclass()));
    assertThat(missing(options(PolicyLoss.class).stream().filter(name -> !ofLogits.contains(name))))
        .isEmpty();
  }

  @Test
  void noStepOfTheCorrectionIsMissing() {
    assertThat(missing(options(OffPolicyCorrection.class).stream())).isEmpty();
  }

  @Test
  void noKlEstimateIsMissing() {
    assertThat(
            missing(
                Stream.concat(
                    Arrays.stream(KlEstimator.values()).map(e -> "KlEstimator." + e),
                    Arrays.stream(KlGradient.values()).map(g -> "KlGradient." + g))))
        .isEmpty();
  }

  @Test
  void everyPresetIsWhatThePageSays() {
    List<String> rows =
        Presets.all().stream()
            .map(
                p ->
                    String.format(
                        "| %s | %s | %s | %s |%n",
                        p.loss(), p.aggregation(), p.correction(), p.rewardKl().coefficient()))
            .toList();
    String table = PAGE.substring(PAGE.indexOf("## Presets"));
    int at = 0;
    for (int i = 0; i < rows.size(); i++) {
      int next = table.indexOf("| " + Presets.all().get(i).name() + " | `Presets.", at);
      assertThat(next).as(Presets.all().get(i).name()).isPositive();
      assertThat(table.substring(next, table.indexOf('\n', next) + 1)).endsWith(rows.get(i));
      at = next;
    }
  }

  /** What the page says of a preset's advantages is what they do. */
  @Test
  void everyPresetHasTheEpsilonAndTheSingletonOfThePage() {
    TokenLayout layout = TokenLayout.ofOffsets(0, 1, 2);
    for (Preset preset : Presets.all()) {
      Matcher row =
          Pattern.compile("\\| " + preset.name() + " \\| `Presets[^|]+\\| ([^|]+) \\|")
              .matcher(PAGE);
      assertThat(row.find()).as(preset.name()).isTrue();
      RewardBatch two = RewardBatch.of(layout, 1, 0).withGroups(Groups.ofSize(2));
      double a = preset.advantages().forward(two).perRow()[0];
      Matcher epsilon = Pattern.compile("epsilon ([0-9e-]+)").matcher(row.group(1));
      if (epsilon.find()) {
        assertThat(0.5 / a - Math.sqrt(0.5))
            .as(row.group())
            .isCloseTo(Double.parseDouble(epsilon.group(1)), Offset.offset(1e-12));
      }
      RewardBatch alone = RewardBatch.of(layout, 1, 0).withGroups(Groups.ofSize(1));
      assertThat(preset.advantages().forward(alone).perRow()[0] != 0)
          .as(row.group())
          .isEqualTo(row.group(1).contains("a singleton keeps its reward"));
    }
  }

  @Test
  void theAdaptiveControllerIsBoundedAsThePageSays() {
    double up = KlController.adaptive(1, 0.1, 100).next(1e9, 100).coefficient() - 1;
    assertThat(PAGE).contains(String.format("clip(kl / target - 1, %.1f, %.1f)", -up, up));
  }

  @ParameterizedTest
  @ValueSource(strings = {"dev.polka.kernel.", "dev.polka.policy."})
  void everyMethodThatThePageNamesExists(String packageName) {
    Matcher names = Pattern.compile("`(?:new )?([A-Z]\\w+)\\.(\\w+)").matcher(PAGE);
    int found = 0;
    while (names.find()) {
      Class<?> type;
      try {
        type = Class.forName(packageName + names.group(1));
      } catch (ClassNotFoundException elsewhere) {
        continue;
      }
      found++;
      String member = names.group(2);
      assertThat(
              Stream.concat(
                  Arrays.stream(type.getMethods()).map(Method::getName),
                  Arrays.stream(type.getFields()).map(f -> f.getName())))
          .as(names.group())
          .contains(member);
    }
    assertThat(found).isGreaterThan(10);
  }
}
