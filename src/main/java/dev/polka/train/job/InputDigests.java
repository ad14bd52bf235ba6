package dev.polka.train.job;

import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import dev.polka.train.config.ModelSettings;
import dev.polka.train.config.Pipeline;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Fingerprints of the files that a pipeline reads: its problem file, and the models it starts from.
 * What they hold belongs to the configuration as much as their names do.
 */
public final class InputDigests {
  private static final List<String> MODEL_FILES =
      List.of("config.json", "model.safetensors", "tokenizer.json");
  private static final int CHUNK = 1 << 20;

  private InputDigests() {}

  /**
   * Reads the files once.
   *
   * @param pipeline the configuration
   * @param base the folder that relative paths start from
   * @return SHA-256 in hexadecimal digits, by keys such as {@code data.file.sha256} and {@code
   *     models.student.directory.config.json.sha256}; empty if the pipeline reads no file
   * @throws InputException if a file is missing or cannot be read
   */
  public static SortedMap<String, String> of(Pipeline pipeline, Path base) {
    SortedMap<String, String> digests = new TreeMap<>();
    if (pipeline.data().file() != null) {
      digests.put("data.file.sha256", digest(base.resolve(pipeline.data().file())));
    }
    for (String name : pipeline.usedModels()) {
      ModelSettings model = pipeline.models().get(name);
      if (model.directory() != null) {
        for (String file : MODEL_FILES) {
          digests.put(
              "models." + name + ".directory." + file + ".sha256",
              digest(base.resolve(model.directory()).resolve(file)));
        }
      }
    }
    return digests;
  }

  private static String digest(Path file) {
    if (!Files.exists(file)) {
      throw new InputException(file + ": no such file");
    }
    try (InputStream content = Files.newInputStream(file)) {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      byte[] chunk = new byte[CHUNK];
      for (int read = content.read(chunk); read >= 0; read = content.read(chunk)) {
        digest.update(chunk, 0, read);
      }
      return HexFormat.of().formatHex(digest.digest());
    } catch (IOException e) {
      throw new InputException(file + ": cannot be read: " + FileFailure.text(e), e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e); // every Java platform has SHA-256
    }
  }
}
