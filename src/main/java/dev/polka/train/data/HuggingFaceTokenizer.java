package dev.polka.train.data;

import ai.djl.huggingface.tokenizers.Encoding;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.Map;

/**
 * A Hugging Face {@code tokenizer.json}, through {@code ai.djl.huggingface:tokenizers}: an optional
 * dependency whose jar holds the native library of each platform.
 *
 * <p>Nothing is downloaded. On its own that library would fetch a CUDA build of itself where it
 * finds a GPU, and report its use on some cloud machines; while a tokenizer is made here, its
 * offline switch ({@code ai.djl.offline}) is on. Thread-safe.
 */
public final class HuggingFaceTokenizer implements Tokenizer {
  private static final String OFFLINE = "ai.djl.offline";

  private final TokenizerFiles files;
  private final int vocabSize;
  private final int endOfSequence;
  // Closed by its own cleaner with the last reference; a tokenizer lives as long as its run.
  private final ai.djl.huggingface.tokenizers.HuggingFaceTokenizer tokenizer;

  private HuggingFaceTokenizer(TokenizerFiles files) {
    this.files = files;
    this.vocabSize = files.vocabSize();
    this.endOfSequence = files.endOfSequence();
    this.tokenizer = open(files.directory().resolve(TokenizerFiles.TOKENIZER));
  }

  /** The tokenizer of files that have been read. */
  static HuggingFaceTokenizer of(TokenizerFiles files) {
    try {
      return new HuggingFaceTokenizer(files);
    } catch (NoClassDefFoundError e) {
      throw new InputException(
          files.directory().resolve(TokenizerFiles.TOKENIZER)
              + ": needs ai.djl.huggingface:tokenizers on the class path (an optional dependency):"
              + " not found: "
              + e.getMessage(),
          e);
    }
  }

  private static synchronized ai.djl.huggingface.tokenizers.HuggingFaceTokenizer open(Path file) {
    String before = System.getProperty(OFFLINE);
    System.setProperty(OFFLINE, "true");
    try {
      return ai.djl.huggingface.tokenizers.HuggingFaceTokenizer.newInstance(
          file, Map.of("truncation", "false", "padding", "false"));
    } catch (IOException | RuntimeException e) {
      throw new InputException(file + ": cannot be loaded: " + e.getMessage(), e);
    } finally {
      if (before == null) {
        System.clearProperty(OFFLINE);
      } else {
        System.setProperty(OFFLINE, before);
      }
    }
  }

  @Override
  public int vocabSize() {
    return vocabSize;
  }

  @Override
  public int endOfSequence() {
    return endOfSequence;
  }

  @Override
  public int[] encode(String text) {
    return ids(text, false);
  }

  @Override
  public int[] encodePrompt(String text) {
    int[] ids = ids(text, true);
    int length = ids.length;
    // Some templates close every text with the end token; a prompt goes on.
    while (length > 0 && ids[length - 1] == endOfSequence) {
      length--;
    }
    return Arrays.copyOf(ids, length);
  }

  private int[] ids(String text, boolean withSpecialTokens) {
    Encoding encoding = tokenizer.encode(text, withSpecialTokens, false);
    return Arrays.stream(encoding.getIds()).mapToInt(Math::toIntExact).toArray();
  }

  @Override
  public String decode(int[] ids) {
    for (int id : ids) {
      if (id < 0 || id >= vocabSize) {
        throw new IllegalArgumentException(
            "token " + id + " is outside the vocabulary of " + vocabSize);
      }
    }
    return tokenizer.decode(Arrays.stream(ids).asLongStream().toArray(), true);
  }

  @Override
  public void save(Path directory) {
    try {
      copy(TokenizerFiles.TOKENIZER, directory);
      if (!files.settings().isMissingNode()) {
        copy(TokenizerFiles.SETTINGS, directory);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void copy(String name, Path directory) throws IOException {
    Path from = files.directory().resolve(name);
    Path to = directory.resolve(name);
    if (!Files.exists(to) || !Files.isSameFile(from, to)) {
      Files.copy(from, to, StandardCopyOption.REPLACE_EXISTING);
    }
  }
}
