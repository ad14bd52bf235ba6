package dev.polka.conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.stream.IntStream;

/** One vector: what a peer computed, with which options, from which inputs. */
record GoldenCase(
    String file,
    int index,
    String operation,
    JsonNode options,
    JsonNode ownInputs,
    JsonNode sharedInputs,
    JsonNode expected) {

  /** File, index, operation and options: unique, and enough to find the case again. */
  String name() {
    return file + "[" + index + "] " + operation + " " + options;
  }

  JsonNode input(String field) {
    return ownInputs.hasNonNull(field) ? ownInputs.get(field) : sharedInputs.path(field);
  }

  double option(String field, double otherwise) {
    return options.hasNonNull(field) ? options.get(field).asDouble() : otherwise;
  }

  String option(String field, String otherwise) {
    return options.hasNonNull(field) ? options.get(field).asText() : otherwise;
  }

  boolean option(String field, boolean otherwise) {
    return options.hasNonNull(field) ? options.get(field).asBoolean() : otherwise;
  }

  double[] inputs(String field) {
    return vector(input(field));
  }

  double[][] inputRows(String field) {
    return rows(input(field));
  }

  static double[] vector(JsonNode array) {
    return IntStream.range(0, array.size()).mapToDouble(i -> array.get(i).asDouble()).toArray();
  }

  static double[][] rows(JsonNode array) {
    return IntStream.range(0, array.size())
        .mapToObj(i -> vector(array.get(i)))
        .toArray(double[][]::new);
  }

  static double[] flat(double[][] rows) {
    return java.util.Arrays.stream(rows).flatMapToDouble(java.util.Arrays::stream).toArray();
  }
}
