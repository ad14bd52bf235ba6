package dev.polka.train.config;

import dev.polka.train.FileFailure;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads a {@link Pipeline} from YAML, or from JSON where the name ends in {@code .json}. The
 * shipped files {@code default.yaml} and {@code quick.yaml} explain every key.
 */
public final class PipelineFile {
  private PipelineFile() {}

  /**
   * Reads a file.
   *
   * @param file the file
   * @return the pipeline
   * @throws InputException if the file is missing, or has an unknown key, a wrong value or a
   *     reference to nothing; the message begins with {@code file:line}
   */
  public static Pipeline read(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InputException(file + ": no such file");
    }
    try {
      return parse(file.toString(), Files.readString(file));
    } catch (IOException e) {
      throw new InputException(file + ": cannot be read: " + FileFailure.text(e), e);
    }
  }

  /**
   * Reads one of the shipped pipelines.
   *
   * @param name {@code default} or {@code quick}
   * @return the pipeline
   * @throws IllegalArgumentException if there is none of that name
   */
  public static Pipeline shipped(String name) {
    return parse(name + ".yaml", shippedText(name));
  }

  /**
   * The text of a shipped pipeline, to start a configuration of one's own from.
   *
   * @param name {@code default} or {@code quick}
   * @return YAML
   * @throws IllegalArgumentException if there is none of that name
   */
  public static String shippedText(String name) {
    try (InputStream text = PipelineFile.class.getResourceAsStream(name + ".yaml")) {
      if (text == null) {
        throw new IllegalArgumentException("no pipeline '" + name + "' is shipped");
      }
      return new String(text.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Reads a text.
   *
   * @param name of the file, for messages; JSON if it ends in {@code .json}
   * @param text the content
   * @return the pipeline
   * @throws InputException as {@link #read}
   */
  public static Pipeline parse(String name, String text) {
    ConfigNode root = ConfigNode.root(ConfigDocument.parse(name, text));
    root.keys(
        "name",
        "seeds",
        "data",
        "models",
        "optimizer",
        "batching",
        "loss",
        "evaluation",
        "stages",
        "arms");
    OptimizerSettings optimizer =
        StageReader.optimizer(root.child("optimizer"), OptimizerSettings.defaults());
    List<Stage> stages =
        root.children("stages", (node, index) -> StageReader.stage(node, optimizer));
    List<Arm> arms = root.children("arms", (node, index) -> arm(node));
    return root.guarded(
        () ->
            new Pipeline(
                root.text("name"),
                root.longs("seeds"),
                SettingsReader.data(root.child("data")),
                models(root.child("models")),
                SettingsReader.batching(root.child("batching")),
                root.choice("loss", LossBackend.class, LossBackend.POLKA),
                SettingsReader.evaluation(root.child("evaluation")),
                stages,
                arms));
  }

  private static Map<String, ModelSettings> models(ConfigNode node) {
    Map<String, ModelSettings> models = new LinkedHashMap<>();
    for (String name : node.names()) {
      models.put(name, SettingsReader.model(node.child(name)));
    }
    return models;
  }

  private static Arm arm(ConfigNode node) {
    node.keys("name", "title", "result");
    String name = node.text("name");
    return new Arm(name, node.text("title", name), node.text("result"));
  }
}
