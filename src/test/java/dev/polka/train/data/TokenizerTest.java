package dev.polka.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.train.InputException;
import java.io.File;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerTest {
  private static final Path WORDS = Path.of("src/test/resources/train/word-pieces");

  @TempDir Path folder;

  @Test
  void arithmeticHasThirteenTokensAndTextsComeBack() {
    CharTokenizer tokenizer = CharTokenizer.of(ArithmeticTask.symbols());
    assertThat(tokenizer.vocabSize()).isEqualTo(13);
    assertThat(tokenizer.encode("0+9=")).containsExactly(1, 11, 10, 12);
    assertThat(tokenizer.decode(new int[] {1, 11, 10, 12, 0})).isEqualTo("0+9=");
  }

  @Test
  void charactersOutsideTheVocabularyAreNamed() {
    CharTokenizer tokenizer = CharTokenizer.of(ArithmeticTask.symbols());
    assertThatThrownBy(() -> tokenizer.encode("4*2="))
        .isInstanceOf(InputException.class)
        .hasMessage(
            "character '*' (U+002A) at position 1 is not one of the tokenizer's 12 symbols");
    assertThatThrownBy(() -> tokenizer.decode(new int[] {13}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("token 13 is outside the vocabulary of 13");
    assertThatThrownBy(() -> CharTokenizer.of("aba"))
        .hasMessage("symbol 'a' (U+0061) is there twice");
  }

  @Test
  void coveringTokenizerKnowsEveryCharacterOfTheProblems() {
    var problem = new Problem("A\uD83D\uDE00?", "b", "b\n", "f:1");
    CharTokenizer tokenizer = CharTokenizer.covering(List.of(problem), "Q: ");
    assertThat(tokenizer.vocabSize()).isEqualTo(9);
    assertThat(tokenizer.decode(tokenizer.encode("\uD83D\uDE00b\n"))).isEqualTo("\uD83D\uDE00b\n");
  }

  @Test
  void savedCharTokenizerLoadsAsItself() {
    CharTokenizer tokenizer = CharTokenizer.of("ab\n \u00E9\uD83D\uDE00.");
    tokenizer.save(folder);
    assertThat(Tokenizer.load(folder)).isEqualTo(tokenizer);
  }

  @Test
  void savedCharTokenizerMeansTheSameToHuggingFace() {
    CharTokenizer tokenizer = CharTokenizer.of("ab\n \u00E9\uD83D\uDE00.");
    tokenizer.save(folder);
    var theirs = HuggingFaceTokenizer.of(TokenizerFiles.read(folder));
    String text = "a b\n\uD83D\uDE00.\u00E9 ";
    assertThat(theirs.encode(text)).isEqualTo(tokenizer.encode(text));
    assertThat(theirs.decode(tokenizer.encode(text))).isEqualTo(text);
    assertThat(theirs.vocabSize()).isEqualTo(tokenizer.vocabSize());
    assertThat(theirs.endOfSequence()).isZero();
  }

  @Test
  void huggingFaceFileIsReadWithoutTheNetwork() {
    Tokenizer tokenizer = Tokenizer.load(WORDS);
    assertThat(tokenizer).isInstanceOf(HuggingFaceTokenizer.class);
    assertThat(tokenizer.vocabSize()).isEqualTo(11);
    assertThat(tokenizer.endOfSequence()).isEqualTo(2);
    assertThat(tokenizer.encode("the cat sat")).containsExactly(3, 4, 5);
    assertThat(tokenizer.encodePrompt("the cat sat")).containsExactly(1, 3, 4, 5);
    assertThat(tokenizer.decode(new int[] {1, 3, 4, 5, 2})).isEqualTo("the cat sat");
    assertThat(System.getProperty("ai.djl.offline")).isNull();
  }

  @Test
  void longTextsAreNotTruncated() {
    String text = String.join(" ", java.util.Collections.nCopies(3_000, "cat"));
    assertThat(Tokenizer.load(WORDS).encode(text)).hasSize(3_000).containsOnly(4);
  }

  @Test
  void huggingFaceFilesAreCopiedOnSave() throws IOException {
    Tokenizer.load(WORDS).save(folder);
    assertThat(folder.resolve("tokenizer.json"))
        .hasSameBinaryContentAs(WORDS.resolve("tokenizer.json"));
    assertThat(Tokenizer.load(folder).endOfSequence()).isEqualTo(2);
  }

  @Test
  void missingAndBrokenFilesAreNamed() throws IOException {
    assertThatThrownBy(() -> Tokenizer.load(folder))
        .isInstanceOf(InputException.class)
        .hasMessage(folder.resolve("tokenizer.json") + ": no such file");
    Files.writeString(folder.resolve("tokenizer.json"), "{\"model\": ");
    assertThatThrownBy(() -> Tokenizer.load(folder))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith(folder.resolve("tokenizer.json") + ": is not JSON: ");
    Files.copy(WORDS.resolve("tokenizer.json"), folder.resolve("copy.json"));
    Files.move(
        folder.resolve("copy.json"),
        folder.resolve("tokenizer.json"),
        java.nio.file.StandardCopyOption.REPLACE_EXISTING);
    assertThatThrownBy(() -> Tokenizer.load(folder))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith(folder + ": names no end-of-sequence token");
  }

  @Test
  void absentLibraryIsNamed() throws Exception {
    URL[] withoutLibrary =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> !entry.contains("ai" + File.separator + "djl"))
            .map(TokenizerTest::url)
            .toArray(URL[]::new);
    try (var loader = new URLClassLoader(withoutLibrary, ClassLoader.getPlatformClassLoader())) {
      Class<?> tokenizer = loader.loadClass(Tokenizer.class.getName());
      assertThatThrownBy(() -> tokenizer.getMethod("load", Path.class).invoke(null, WORDS))
          .isInstanceOf(InvocationTargetException.class)
          .cause()
          .hasMessageContaining("needs ai.djl.huggingface:tokenizers on the class path");
    }
  }

  private static URL url(String entry) {
    try {
      return Path.of(entry).toUri().toURL();
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }
}
