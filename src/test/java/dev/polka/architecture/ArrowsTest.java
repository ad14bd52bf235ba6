package dev.polka.architecture;

import static org.assertj.core.api.Assertions.assertThat;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import com.tngtech.archunit.lang.ArchRule;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ArrowsTest {
  private static final Arrows ARROWS = new Arrows("dev.polka");
  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("dev.polka");

  private static final Arrows BROKEN = new Arrows("dev.polka.architecture.broken");
  private static final JavaClasses BROKEN_CLASSES =
      new ClassFileImporter().importPackages("dev.polka.architecture.broken");

  static Stream<ArchRule> rules() {
    return Stream.concat(
        ARROWS.siblingsAreStrangers(),
        Stream.of(
            ARROWS.memoryNeedsJavaCppAlone(),
            ARROWS.kernelNeedsMemoryAndJavaCppAlone(),
            ARROWS.onlyCliKnowsTrain(),
            ARROWS.nobodyKnowsCli(),
            ARROWS.libtorchStaysInTorchTrainAndCli(),
            ARROWS.generatedCodeStaysInKernel(),
            ARROWS.noGeneratedAccessors(),
            ARROWS.noAllocatedStructs(),
            ARROWS.noIndexers(),
            ARROWS.noIndexersFromPointers()));
  }

  @ParameterizedTest
  @MethodSource("rules")
  void theArrowsPointOneWay(ArchRule rule) {
    rule.check(CLASSES);
  }

  @Test
  void theRulesSeeTheCodeTheyAreAbout() {
    assertThat(CLASSES.contain("dev.polka.memory.Matrix")).isTrue();
    assertThat(CLASSES.contain("dev.polka.kernel.internal.NativeCall")).isTrue();
    assertThat(CLASSES.contain("dev.polka.kernel.internal.gen.polka_exec")).isTrue();
    assertThat(CLASSES.contain("dev.polka.torch.Torch")).isTrue();
  }

  static Stream<Arguments> violations() {
    return Stream.of(
        Arguments.of(BROKEN.memoryNeedsJavaCppAlone(), List.of("ReachesUp.operation")),
        Arguments.of(BROKEN.kernelNeedsMemoryAndJavaCppAlone(), List.of("UsesLibtorch.tensor")),
        Arguments.of(BROKEN.siblingsAreStrangers("metric"), List.of("AsksASibling.adapter")),
        Arguments.of(BROKEN.onlyCliKnowsTrain(), List.of("Adapter.trainer")),
        Arguments.of(BROKEN.nobodyKnowsCli(), List.of("Trainer.command")),
        Arguments.of(BROKEN.libtorchStaysInTorchTrainAndCli(), List.of("UsesLibtorch.tensor")),
        Arguments.of(BROKEN.generatedCodeStaysInKernel(), List.of("Trainer.args")),
        Arguments.of(
            BROKEN.noGeneratedAccessors(), List.of("FillsStructs.set", "FillsStructs.get")),
        Arguments.of(
            BROKEN.noAllocatedStructs(), List.of("FillsStructs.one", "FillsStructs.several")),
        Arguments.of(BROKEN.noIndexers(), List.of("UsesIndexer.indexer")),
        Arguments.of(BROKEN.noIndexersFromPointers(), List.of("Adapter.hidden", "Adapter.filled")));
  }

  @ParameterizedTest
  @MethodSource("violations")
  void everyRuleFailsWhereItIsBroken(ArchRule rule, List<String> breakers) {
    String report = rule.evaluate(BROKEN_CLASSES).getFailureReport().toString();

    assertThat(report).contains(breakers);
  }

  @Test
  void aStructOverMemoryThatExistsIsAllowed() {
    String report =
        BROKEN.noAllocatedStructs().evaluate(BROKEN_CLASSES).getFailureReport().toString();

    assertThat(report).doesNotContain("FillsStructs.over");
  }
}
