package dev.polka;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The README's quick start, compiled and run as it stands there. */
class ReadmeTest {
  private static final Pattern QUICK_START =
      Pattern.compile("## Quick start\\n.*?```java\\n(.*?)```\\n(.*?)\\n## ", Pattern.DOTALL);

  @TempDir Path directory;

  private static Matcher quickStart() throws Exception {
    Matcher matcher = QUICK_START.matcher(Files.readString(Path.of("README.md")));
    assertThat(matcher.find()).as("a Java block under Quick start").isTrue();
    return matcher;
  }

  private String run(String source) throws Exception {
    Matcher name = Pattern.compile("class (\\w+)").matcher(source);
    assertThat(name.find()).as("a class in the Java block").isTrue();
    Path file = Files.writeString(directory.resolve(name.group(1) + ".java"), source);
    String classPath =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    ByteArrayOutputStream messages = new ByteArrayOutputStream();
    int status =
        ToolProvider.getSystemJavaCompiler()
            .run(
                null,
                messages,
                messages,
                "-Xlint:all,-path",
                "-Werror",
                "-cp",
                classPath,
                "-d",
                directory.toString(),
                file.toString());
    assertThat(status).as(messages.toString(StandardCharsets.UTF_8)).isZero();
    ByteArrayOutputStream output = new ByteArrayOutputStream();
    PrintStream before = System.out;
    try (URLClassLoader loader = new URLClassLoader(new URL[] {directory.toUri().toURL()})) {
      System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
      loader
          .loadClass(name.group(1))
          .getMethod("main", String[].class)
          .invoke(null, (Object) new String[0]);
    } finally {
      System.setOut(before);
    }
    return output.toString(StandardCharsets.UTF_8);
  }

  @Test
  void theQuickStartPrintsWhatTheReadmeSays() throws Exception {
    Matcher quickStart = quickStart();
    String text = quickStart.group(2).replace('\n', ' ');
    String output = run(quickStart.group(1));
    assertThat(output.lines())
        .isNotEmpty()
        .allSatisfy(l -> assertThat(text).contains("`" + l + "`"));
  }
}
