package dev.polka.distill;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.Divergence;
import dev.polka.kernel.Tail;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code docs/distillation.md} says what the code does, and names all that there is. */
class DistillationTableTest {
  private static final String PAGE = read(Path.of("docs", "distillation.md"));

  private static final List<Class<?>> METHODS =
      List.of(
          OnPolicyDistillation.class,
          TeacherLogProbs.class,
          MiniLlm.class,
          ImportanceWeightedDistillation.class,
          Gkd.class,
          AdaptiveKl.class,
          TokenSelection.class,
          UniversalLogitDistillation.class);

  private static String read(Path path) {
    try {
      return Files.readString(path);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Set<String> missing(Stream<String> names) {
    return names
        .filter(name -> !Pattern.compile("\\b" + Pattern.quote(name) + "\\b").matcher(PAGE).find())
        .collect(Collectors.toCollection(TreeSet::new));
  }

  private static Stream<Method> publicMethods(Class<?> type) {
    return Arrays.stream(type.getDeclaredMethods())
        .filter(m -> Modifier.isPublic(m.getModifiers()));
  }

  static Stream<Arguments> expressions() {
    return Stream.of(
        Arguments.of("OnPolicyDistillation.of(1)", OnPolicyDistillation.of(1)),
        Arguments.of(
            "OnPolicyDistillation.of(1).withDiscount(0.9)",
            OnPolicyDistillation.of(1).withDiscount(0.9)),
        Arguments.of(
            "OnPolicyDistillation.of(1).withReference(reference, 1.25)",
            OnPolicyDistillation.of(1).withReference(new double[0], 1.25)),
        Arguments.of("MiniLlm.of(0)", MiniLlm.of(0)),
        Arguments.of(
            "MiniLlm.of(1).withoutLengthNormalization()",
            MiniLlm.of(1).withoutLengthNormalization()),
        Arguments.of(
            "new ImportanceWeightedDistillation(0.5)", new ImportanceWeightedDistillation(0.5)),
        Arguments.of("Gkd.of(0.5f)", Gkd.of(0.5f)),
        Arguments.of("new AdaptiveKl(0.5, 1)", new AdaptiveKl(0.5, 1)),
        Arguments.of("new UniversalLogitDistillation(1)", new UniversalLogitDistillation(1)),
        Arguments.of("new TokenSelection(0.5)", new TokenSelection(0.5)));
  }

  @ParameterizedTest
  @MethodSource("expressions")
  void everyMethodSaysOfItselfWhatThePageSays(String expression, Object method) {
    assertThat(PAGE).contains("| `" + expression + "` | " + method + " |");
  }

  @Test
  void noMethodOfThePackageIsMissing() throws IOException {
    Path sources = Path.of("src", "main", "java", "dev", "polka", "distill");
    try (Stream<Path> files = Files.list(sources)) {
      assertThat(
              files
                  .filter(file -> read(file).contains("\npublic "))
                  .map(file -> file.getFileName().toString().replace(".java", "")))
          .containsExactlyInAnyOrderElementsOf(METHODS.stream().map(Class::getSimpleName).toList());
    }
    assertThat(missing(METHODS.stream().map(Class::getSimpleName))).isEmpty();
  }

  @Test
  void noOptionOfAMethodIsMissing() {
    assertThat(
            missing(
                METHODS.stream()
                    .flatMap(DistillationTableTest::publicMethods)
                    .map(Method::getName)
                    .filter(name -> name.startsWith("with"))))
        .isEmpty();
  }

  @Test
  void noDivergenceIsMissing() {
    assertThat(
            missing(
                Stream.concat(
                    publicMethods(Divergence.class)
                        .filter(m -> Modifier.isStatic(m.getModifiers()))
                        .map(m -> "Divergence." + m.getName()),
                    Arrays.stream(Tail.values()).map(tail -> "Tail." + tail))))
        .isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"dev.polka.kernel.", "dev.polka.distill."})
  void everyMemberThatThePageNamesExists(String packageName) {
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
      assertThat(
              Stream.concat(
                  Arrays.stream(type.getMethods()).map(Method::getName),
                  Arrays.stream(type.getFields()).map(field -> field.getName())))
          .as(names.group())
          .contains(names.group(2));
    }
    assertThat(found).isGreaterThan(5);
  }
}
