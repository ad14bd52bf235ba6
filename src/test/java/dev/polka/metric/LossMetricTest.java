package dev.polka.metric;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.LossResult;
import dev.polka.kernel.Normalizer;
import dev.polka.kernel.PolicyLoss;
import dev.polka.kernel.PolicyLossMetrics;
import dev.polka.kernel.TokenBatch;
import dev.polka.memory.Floats;
import dev.polka.memory.Longs;
import dev.polka.policy.CorrectionMetrics;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class LossMetricTest {
  private static PolicyLossMetrics metrics() {
    try (Floats logProb = Floats.copyOf(-1f, -0.5f, -2f);
        Floats entropy = Floats.copyOf(0.5f, 0.7f, 0.9f);
        Floats old = Floats.copyOf(-1.5f, -0.5f, -1f);
        Floats advantages = Floats.copyOf(1f, 1f, -1f);
        Longs targets = Longs.copyOf(0, 0, 0);
        Longs offsets = Longs.copyOf(0, 2, 3);
        LossResult result =
            PolicyLoss.ppo()
                .withClip(0.2f, 0.2f)
                .forwardBackward(
                    logProb,
                    entropy,
                    TokenBatch.of(targets, offsets).withOld(old).withAdvantages(advantages),
                    Normalizer.tokens(3))) {
      return result.metrics();
    }
  }

  @Test
  void everyMetricOfALossHasOneNameAndItsValue() throws ReflectiveOperationException {
    PolicyLossMetrics metrics = metrics();
    Map<String, Double> values = new TreeMap<>();
    LossMetric.of(metrics).forEach((name, value) -> values.put(name.replace("_", ""), value));
    Set<String> known = new HashSet<>(values.keySet());
    for (Method method : PolicyLossMetrics.class.getMethods()) {
      String name = method.getName().toLowerCase();
      if (method.getDeclaringClass() != PolicyLossMetrics.class
          || method.getParameterCount() > 0
          || name.endsWith("sum")
          || name.startsWith("cliplowseq")
          || name.startsWith("cliphighseq")
          || Set.of("offpolicysequences", "firstnonfiniterow", "hashcode", "tostring")
              .contains(name)) {
        continue;
      }
      assertThat(values).containsKey(name);
      assertThat(values.get(name)).isEqualTo(((Number) method.invoke(metrics)).doubleValue());
      known.remove(name);
    }
    assertThat(known).isEmpty();
  }

  @Test
  void aPeersDashboardGetsItsOwnNames() {
    PolicyLossMetrics metrics = metrics();
    assertThat(metrics.clipFraction()).isGreaterThan(0);
    assertThat(LossMetric.of(metrics, Peer.VERL))
        .containsEntry("actor/pg_clipfrac", metrics.clipFraction())
        .containsEntry("actor/ppo_kl", metrics.approxKl())
        .doesNotContainKey("clip_fraction");
    assertThat(LossMetric.of(metrics, Peer.TRL))
        .containsEntry("clip_ratio/low_mean", metrics.clipFractionLow());
  }

  @Test
  void everyPeerHasANameForSomethingAndNoneGivesOneNameTwice() {
    for (Peer peer : Peer.values()) {
      long named =
          Arrays.stream(LossMetric.values()).filter(m -> m.nameIn(peer).isPresent()).count();
      assertThat(LossMetric.of(metrics(), peer)).as(peer.title()).hasSize((int) named).isNotEmpty();
    }
  }

  @Test
  void theDocumentHasTheTable() throws IOException {
    assertThat(Files.readString(Path.of("docs/metrics.md"))).contains(table());
  }

  /** The names in brackets in Javadoc, for the metrics that are records of their own. */
  @Test
  void theDocumentHasTheNamesOfTheCorrectionAndOfValues() throws IOException {
    String page = Files.readString(Path.of("docs/metrics.md"));
    String correction =
        Files.readString(Path.of("src/main/java/dev/polka/policy/CorrectionMetrics.java"))
            .replaceAll("\\n \\*\\s+", " ");
    Matcher parameter =
        Pattern.compile("@param (\\w+) (?:(?!@param).)*?\\[([a-z]\\w+)\\]").matcher(correction);
    int found = 0;
    while (parameter.find()) {
      found++;
      assertThat(page)
          .contains(String.format("| `%s` | `%s` |", parameter.group(1), parameter.group(2)));
    }
    assertThat(found).isEqualTo(CorrectionMetrics.class.getRecordComponents().length);
    String values =
        Files.readString(Path.of("src/main/java/dev/polka/kernel/ValueLossMetrics.java"))
            .replaceAll("\\n\\s+\\*\\s+", " ");
    Matcher method =
        Pattern.compile("\\[(v\\w+)\\][^/]*\\*/\\s+public double (\\w+)").matcher(values);
    found = 0;
    while (method.find()) {
      found++;
      assertThat(page).contains(String.format("| `%s` | `%s` |", method.group(2), method.group(1)));
    }
    assertThat(found).isEqualTo(3);
  }

  private static String table() {
    StringBuilder table =
        new StringBuilder("| metric | what it is | the same elsewhere |\n|---|---|---|\n");
    for (LossMetric metric : LossMetric.values()) {
      StringBuilder names = new StringBuilder();
      for (Peer peer : Peer.values()) {
        metric
            .nameIn(peer)
            .ifPresent(
                name ->
                    names
                        .append(names.isEmpty() ? "" : ", ")
                        .append(peer.title())
                        .append(" `")
                        .append(name)
                        .append('`'));
      }
      table.append(String.format("| `%s` | %s | %s |%n", metric.title(), metric.formula(), names));
    }
    return table.toString();
  }
}
