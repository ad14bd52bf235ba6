package dev.polka.train;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.List;
import org.junit.jupiter.api.Test;

class TrainArrowsTest {
  private static final JavaClasses CLASSES =
      new ClassFileImporter()
          .withImportOption(new ImportOption.DoNotIncludeTests())
          .importPackages("dev.polka.train");

  @Test
  void whatSurroundsTheTrainingLoopNeedsNeitherKernelsNorLibtorch() {
    noClasses()
        .that()
        .resideInAnyPackage(
            "dev.polka.train",
            "dev.polka.train.data..",
            "dev.polka.train.config..",
            "dev.polka.train.checkpoint..",
            "dev.polka.train.report..",
            "dev.polka.train.job..")
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(
            "org.bytedeco..", "dev.polka.memory..", "dev.polka.kernel..", "dev.polka.torch..")
        .check(CLASSES);
  }

  /** Each package may use those before it. */
  @Test
  void packagesUseEachOtherInOneDirection() {
    List<String> order = List.of("data", "config", "checkpoint", "report", "job");
    for (int i = 0; i < order.size(); i++) {
      noClasses()
          .that()
          .resideInAPackage("dev.polka.train." + order.get(i))
          .should()
          .dependOnClassesThat()
          .resideInAnyPackage(
              order.subList(i + 1, order.size()).stream()
                  .map(name -> "dev.polka.train." + name)
                  .toArray(String[]::new))
          .allowEmptyShould(true)
          .check(CLASSES);
    }
  }
}
