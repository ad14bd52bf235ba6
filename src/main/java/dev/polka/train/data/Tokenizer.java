package dev.polka.train.data;

import java.nio.file.Path;

/**
 * Text to token ids and back. Ids are in [0, {@link #vocabSize()}).
 *
 * <p>Implementations are thread-safe.
 */
public interface Tokenizer {
  /**
   * One more than the largest id.
   *
   * @return the size of the vocabulary
   */
  int vocabSize();

  /**
   * The token that ends a response.
   *
   * @return its id
   */
  int endOfSequence();

  /**
   * Tokens of a text, without any special token.
   *
   * @param text the text
   * @return its ids
   * @throws dev.polka.train.InputException if the text has a character that no token stands for
   */
  int[] encode(String text);

  /**
   * Tokens of a text that begins a sequence: with the begin-of-sequence token where the tokenizer
   * has one.
   *
   * @param text the text
   * @return its ids
   * @throws dev.polka.train.InputException if the text has a character that no token stands for
   */
  default int[] encodePrompt(String text) {
    return encode(text);
  }

  /**
   * Text of tokens; special tokens have none.
   *
   * @param ids the ids
   * @return the text
   * @throws IllegalArgumentException if an id is outside the vocabulary
   */
  String decode(int[] ids);

  /**
   * Writes the files that {@link #load} reads, in the layout of Hugging Face: {@code
   * tokenizer.json} and {@code tokenizer_config.json}.
   *
   * @param directory an existing directory
   * @throws java.io.UncheckedIOException if they cannot be written
   */
  void save(Path directory);

  /**
   * Loads the tokenizer of a model directory: a {@link CharTokenizer} where the file describes one,
   * otherwise a {@link HuggingFaceTokenizer}.
   *
   * @param directory a directory with {@code tokenizer.json}
   * @return the tokenizer
   * @throws dev.polka.train.InputException if the file is missing or not understood, or the library
   *     that it needs is not on the class path
   */
  static Tokenizer load(Path directory) {
    TokenizerFiles files = TokenizerFiles.read(directory);
    return CharTokenizer.of(files)
        .<Tokenizer>map(tokenizer -> tokenizer)
        .orElseGet(() -> HuggingFaceTokenizer.of(files));
  }
}
