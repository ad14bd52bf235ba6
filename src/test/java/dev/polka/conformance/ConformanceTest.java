package dev.polka.conformance;

import static dev.polka.conformance.Tolerance.F32;
import static dev.polka.conformance.Tolerance.F64_ADVANTAGE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.polka.reference.ReferenceBatch;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/**
 * The library gives the numbers that verl and TRL give. Runs every case of the directory {@code
 * -Dpolka.golden=DIR} (default: the copy in the test resources); a case of an operation that this
 * version does not have is named as pending. The tolerance is {@link Tolerance}'s and no case has
 * its own.
 */
class ConformanceTest {
  private static final Map<String, int[]> RAN_AND_PENDING = new TreeMap<>();

  @TestFactory
  Stream<DynamicTest> theLibraryGivesThePeersNumbers() {
    List<GoldenCase> cases =
        GoldenVectors.read(GoldenVectors.directory()).stream()
            .filter(ConformanceTest::canRun)
            .toList();
    assertThat(cases).as("cases that can run").isNotEmpty();
    return cases.stream().map(c -> dynamicTest(c.name(), () -> run(c)));
  }

  private static boolean canRun(GoldenCase c) {
    Optional<String> pending = pending(c);
    pending.ifPresent(why -> System.out.println("pending: " + c.name() + ": " + why));
    count(c)[1] += pending.isPresent() ? 1 : 0;
    return pending.isEmpty();
  }

  private static int[] count(GoldenCase c) {
    return RAN_AND_PENDING.computeIfAbsent(c.file(), f -> new int[2]);
  }

  private static Optional<String> pending(GoldenCase c) {
    return switch (c.file()) {
      case "advantages.json" -> Optional.empty();
      case "token_kl.json" -> TokenKlVector.pending(c);
      case "policy_losses.json" -> PolicyLossVector.pending(c);
      case "logits.json" ->
          switch (c.operation()) {
            case "log_prob_and_entropy", "divergence" -> Optional.empty();
            default -> Optional.of("operation " + c.operation());
          };
      default -> Optional.of("file " + c.file());
    };
  }

  private static void run(GoldenCase c) {
    count(c)[0]++;
    switch (c.file()) {
      case "advantages.json" -> {
        AdvantageVector vector = AdvantageVector.of(c);
        KernelRuns.advantages(vector, F32, F64_ADVANTAGE);
        if (vector.options().isPresent()) {
          KernelRuns.groupAdvantage(vector, F32, F64_ADVANTAGE);
        }
      }
      case "token_kl.json" -> KernelRuns.tokenKl(TokenKlVector.of(c), F32);
      case "policy_losses.json" -> {
        PolicyLossRuns runs = new PolicyLossRuns(PolicyLossVector.of(c), F32);
        runs.fromLogProbs();
        runs.fromLogits();
      }
      default -> {
        if (c.operation().equals("divergence")) {
          KernelRuns.divergence(DivergenceVector.of(c), F32);
        } else {
          KernelRuns.logProb(LogProbVector.of(c), F32);
        }
      }
    }
  }

  @AfterAll
  static void printCounts() {
    System.out.println("conformance vectors in " + GoldenVectors.directory());
    RAN_AND_PENDING.forEach(
        (file, n) -> System.out.printf("  %s: %d cases ran, %d pending%n", file, n[0], n[1]));
  }

  @Test
  void aFileWithoutCasesIsAnErrorThatNamesIt(@TempDir Path directory) throws IOException {
    Files.writeString(directory.resolve("good.json"), "{\"cases\": [{\"op\": \"x\"}]}");
    assertThat(GoldenVectors.read(directory)).hasSize(1);
    for (String without : List.of("{}", "[]", "{\"cases\": []}", "{\"Cases\": [{}]}")) {
      Files.writeString(directory.resolve("later.json"), without);
      assertThatThrownBy(() -> GoldenVectors.read(directory))
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("later.json")
          .hasMessageContaining("cases");
    }
  }

  @Test
  void theToleranceGoesByTheInputsOfTheTokenAlone() {
    GoldenCase vanilla =
        GoldenVectors.read(GoldenVectors.copy()).stream()
            .filter(c -> c.operation().endsWith("_vanilla"))
            .findFirst()
            .orElseThrow();
    PolicyLossVector vector = PolicyLossVector.of(vanilla);
    PolicyLossCheck check = new PolicyLossCheck(vector, F32);
    double[] advantages = vector.batch().advantages().clone();
    advantages[0] = 1e6;
    ReferenceBatch one = vector.batch().withAdvantages(advantages);
    PolicyLossCheck spoilt =
        new PolicyLossCheck(
            new PolicyLossVector(
                vanilla, vector.objective(), one, vector.advantagePerSequence(), vector.width()),
            F32);
    assertThat(spoilt.scale(0)).isEqualTo(1e6);
    assertThat(spoilt.scale(1)).isEqualTo(check.scale(1)).isLessThan(100);
  }

  @Test
  void aDirectoryWithoutACaseIsAnError(@TempDir Path empty) {
    assertThatThrownBy(() -> GoldenVectors.read(empty))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining(empty.toString());
  }
}
