package dev.polka.kernel;

import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** A JVM of its own, with this one's class path or a part of it. */
record ChildJvm(List<String> classPath, List<String> flags) {

  /** What a child left behind. */
  record Exit(int status, List<String> lines) {}

  static ChildJvm withEverything() {
    String surefire = System.getProperty("surefire.test.class.path");
    String all = surefire == null ? System.getProperty("java.class.path") : surefire;
    return new ChildJvm(List.of(all.split(File.pathSeparator)), permissions());
  }

  /** What this JVM is denied, its children are denied too. */
  private static List<String> permissions() {
    return ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
        .filter(flag -> flag.contains("native-access") || flag.contains("unsafe-memory-access"))
        .toList();
  }

  ChildJvm without(Predicate<String> entry) {
    return new ChildJvm(classPath.stream().filter(entry.negate()).toList(), flags);
  }

  ChildJvm with(Path entry) {
    return new ChildJvm(
        Stream.concat(classPath.stream(), Stream.of(entry.toString())).toList(), flags);
  }

  ChildJvm with(String flag) {
    return new ChildJvm(classPath, Stream.concat(flags.stream(), Stream.of(flag)).toList());
  }

  Exit run(Class<?> main) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(flags);
    command.addAll(List.of("-cp", String.join(File.pathSeparator, classPath), main.getName()));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    process.getOutputStream().close();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    process.waitFor(1, TimeUnit.MINUTES);
    return new Exit(process.exitValue(), output.lines().toList());
  }
}
