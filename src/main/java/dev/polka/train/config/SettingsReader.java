package dev.polka.train.config;

import dev.polka.train.data.ArithmeticTask;
import dev.polka.train.data.Split;
import dev.polka.train.data.SplitShares;

/** Reads the parts of a pipeline that are not stages. */
final class SettingsReader {
  private static final double INFINITY = Double.MAX_VALUE;
  private static final int MOST = Integer.MAX_VALUE;

  private SettingsReader() {}

  static DataSettings data(ConfigNode node) {
    node.keys(
        "file", "testFile", "arithmetic", "shares", "seed", "verifier", "template", "maxResponse");
    boolean file = node.has("file");
    if (file && node.has("arithmetic")) {
      throw node.error("file", "and arithmetic exclude each other");
    }
    if (!file && node.has("testFile")) {
      throw node.error("testFile", "needs a file");
    }
    return new DataSettings(
        node.text("file", null),
        node.text("testFile", null),
        file ? null : arithmetic(node.child("arithmetic")),
        shares(node.child("shares")),
        node.whole("seed", 0L, Long.MIN_VALUE, Long.MAX_VALUE),
        node.text("verifier", "exact"),
        node.text("template", "{prompt}"),
        node.integer("maxResponse", 0, 0, MOST));
  }

  private static ArithmeticTask arithmetic(ConfigNode node) {
    node.keys("minDigits", "maxDigits", "carryFree", "zeroPadded", "leastSignificantFirst");
    ArithmeticTask plain = ArithmeticTask.twoDigitAddition();
    return node.guarded(
        () ->
            new ArithmeticTask(
                node.integer("minDigits", plain.minDigits(), 1, MOST),
                node.integer("maxDigits", plain.maxDigits(), 1, MOST),
                node.number("carryFree", plain.carryFree(), 0, 1),
                node.flag("zeroPadded", plain.zeroPadded()),
                node.flag("leastSignificantFirst", plain.leastSignificantFirst())));
  }

  private static SplitShares shares(ConfigNode node) {
    node.keys("fresh", "validation", "test");
    return node.guarded(
        () ->
            new SplitShares(
                node.number("fresh", 0.2, 0, 1),
                node.number("validation", 0.05, 0, 1),
                node.number("test", 0.1, 0, 1)));
  }

  static ModelSettings model(ConfigNode node) {
    node.keys(
        "directory",
        "width",
        "layers",
        "heads",
        "keyValueHeads",
        "feedForward",
        "context",
        "precision");
    ModelSettings plain = ModelSettings.defaults();
    return node.guarded(
        () ->
            new ModelSettings(
                node.text("directory", null),
                node.integer("width", plain.width(), 1, MOST),
                node.integer("layers", plain.layers(), 1, MOST),
                node.integer("heads", plain.heads(), 1, MOST),
                node.integer("keyValueHeads", plain.keyValueHeads(), 1, MOST),
                node.integer("feedForward", plain.feedForward(), 1, MOST),
                node.integer("context", plain.context(), 0, MOST),
                node.choice("precision", ModelSettings.Precision.class, plain.precision())));
  }

  static BatchingSettings batching(ConfigNode node) {
    node.keys("microBatchTokens", "generationRows");
    BatchingSettings plain = BatchingSettings.defaults();
    return new BatchingSettings(
        node.integer("microBatchTokens", plain.microBatchTokens(), 1, MOST),
        node.integer("generationRows", plain.generationRows(), 1, MOST));
  }

  static EvaluationSettings evaluation(ConfigNode node) {
    node.keys("split", "problems", "samples", "temperature", "everySteps");
    EvaluationSettings plain = EvaluationSettings.defaults();
    return new EvaluationSettings(
        node.choice("split", Split.class, plain.split()),
        node.integer("problems", plain.problems(), 1, MOST),
        node.integer("samples", plain.samples(), 1, MOST),
        node.number("temperature", plain.temperature(), 0, INFINITY),
        node.integer("everySteps", plain.everySteps(), 0, MOST));
  }
}
