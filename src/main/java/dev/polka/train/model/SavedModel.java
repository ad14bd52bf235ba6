package dev.polka.train.model;

import dev.polka.train.InputException;
import java.nio.file.Path;

/** Checks a saved model before anything is made of it; reads headers alone, and no weights. */
public final class SavedModel {
  private SavedModel() {}

  /**
   * Checks that {@code config.json} and {@code model.safetensors} describe one model, and that its
   * vocabulary is the tokenizer's.
   *
   * @param directory the model
   * @param vocabSize tokens that its tokenizer knows
   * @throws InputException naming the file, if one is missing or damaged, a tensor is missing or of
   *     another shape, or the vocabularies differ in size
   */
  public static void check(Path directory, int vocabSize) {
    Path file = directory.resolve(ModelDirectory.CONFIG);
    ModelConfig config = ModelConfig.read(file);
    if (config.vocabSize() != vocabSize) {
      throw new InputException(
          file
              + ": vocab_size is "
              + config.vocabSize()
              + ", but its tokenizer.json has "
              + vocabSize
              + (config.vocabSize() > vocabSize
                  ? " tokens; a padded vocabulary is not supported"
                  : " tokens"));
    }
    ModelDirectory.check(directory, config);
  }
}
