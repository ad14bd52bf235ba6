package dev.polka.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.internal.gen.PolkaNative;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class NativeLoadTest {
  private static final String NATIVE_DIRECTORY = "linux-x86_64/";

  @TempDir Path directory;

  private static boolean carriesPolka(String entry) {
    return entry.endsWith("/target/native") || entry.matches(".*/polka-[^/]*-linux-x86_64\\.jar");
  }

  private static List<String> probe(ChildJvm jvm) throws IOException, InterruptedException {
    ChildJvm.Exit exit = jvm.run(NativeLoadProbe.class);
    assertThat(exit.status()).as("%s", exit.lines()).isZero();
    return exit.lines();
  }

  @Test
  void withEverythingInPlaceItLoads() throws Exception {
    assertThat(probe(ChildJvm.withEverything())).contains("kernel loaded", "memory loaded");
  }

  @Test
  void aMissingNativeJarIsNamedWithWhatToAdd() throws Exception {
    List<String> lines = probe(ChildJvm.withEverything().without(NativeLoadTest::carriesPolka));

    assertThat(lines)
        .contains(
            "kernel same true",
            "kernel platform linux-x86_64",
            "kernel file class path resource"
                + " dev/polka/kernel/internal/gen/linux-x86_64/libjnipolka.so (not found)")
        .anyMatch(
            line ->
                line.startsWith("kernel message")
                    && line.contains("add dev.polka:polka with classifier linux-x86_64"))
        .anyMatch(line -> line.matches("kernel glibcFound 2\\.\\d+"));
  }

  @Test
  void anUnsupportedPlatformIsNamed() throws Exception {
    List<String> lines =
        probe(ChildJvm.withEverything().with("-Dorg.bytedeco.javacpp.platform=plan9-mips"));

    assertThat(lines)
        .contains(
            "kernel same true",
            "kernel platform plan9-mips",
            "memory same true",
            "memory platform plan9-mips")
        .anyMatch(
            line ->
                line.startsWith("kernel message") && line.contains("platform is not supported"));
  }

  @Test
  void aCacheDirectoryThatCannotBeMadeIsNamed() throws Exception {
    Path file = Files.createFile(directory.resolve("file")); // stops root too
    String cache = file.resolve("cache").toString();

    List<String> lines =
        probe(ChildJvm.withEverything().with("-Dorg.bytedeco.javacpp.cachedir=" + cache));

    assertThat(lines)
        .contains("kernel same true", "memory same true")
        .anyMatch(line -> line.startsWith("kernel message") && line.contains(cache))
        .anyMatch(line -> line.startsWith("memory message") && line.contains(cache));
  }

  @Test
  void aMissingDependencyIsNamed() throws Exception {
    Path target = directory.resolve("dev/polka/kernel/internal/gen/linux-x86_64/libjnipolka.so");
    Files.createDirectories(target.getParent());
    try (InputStream library =
        PolkaNative.class.getResourceAsStream(NATIVE_DIRECTORY + "libjnipolka.so")) {
      Files.copy(library, target);
    }

    List<String> lines =
        probe(ChildJvm.withEverything().without(NativeLoadTest::carriesPolka).with(directory));

    assertThat(lines)
        .contains("kernel same true", "kernel missing libpolka.so", "kernel file file:" + target)
        .anyMatch(line -> line.matches("kernel glibcNeeded 2\\.\\d+"));
  }

  @Test
  void theDescriptionTellsTheFailureInsteadOfThrowing() throws Exception {
    List<String> lines = probe(ChildJvm.withEverything().without(NativeLoadTest::carriesPolka));

    assertThat(lines)
        .contains("platform: linux-x86_64", "native library: not loaded")
        .anyMatch(line -> line.startsWith("glibc: 2."));
  }

  @Test
  void theKernelsRunWithoutLibtorchOnTheClassPath() throws Exception {
    ChildJvm jvm =
        ChildJvm.withEverything()
            .without(entry -> entry.contains("/pytorch/") || entry.contains("/openblas/"));

    ChildJvm.Exit exit = jvm.run(KernelProbe.class);

    assertThat(exit.lines()).contains("libtorch absent", "loss -1.0", "gradient [0.5, -0.5]");
    assertThat(exit.status()).isZero();
  }
}
