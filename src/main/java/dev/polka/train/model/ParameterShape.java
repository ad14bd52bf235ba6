package dev.polka.train.model;

import java.util.ArrayList;
import java.util.List;

/**
 * Name, shape and initial scale of one parameter, named as in Hugging Face's LlamaForCausalLM.
 *
 * @param name such as {@code model.layers.0.self_attn.q_proj.weight}
 * @param rows outputs of a matrix; elements of a norm's weight
 * @param cols inputs of a matrix; 0 for a norm's weight
 * @param deviation standard deviation of the initial values; a norm's weight starts at 1
 */
record ParameterShape(String name, long rows, long cols, double deviation) {
  static final String EMBEDDING = "model.embed_tokens.weight";
  static final String FINAL_NORM = "model.norm.weight";
  static final String HEAD = "lm_head.weight";
  static final List<String> LAYER =
      List.of(
          "input_layernorm.weight",
          "self_attn.q_proj.weight",
          "self_attn.k_proj.weight",
          "self_attn.v_proj.weight",
          "self_attn.o_proj.weight",
          "post_attention_layernorm.weight",
          "mlp.gate_proj.weight",
          "mlp.up_proj.weight",
          "mlp.down_proj.weight");

  /** The parameters of a model, in the order in which they are used. */
  static List<ParameterShape> of(ModelConfig config) {
    long hidden = config.hiddenSize();
    long inner = config.intermediateSize();
    long kv = (long) config.kvHeads() * config.headDim();
    // Each layer adds twice to the residual stream; so scaled, its variance does not grow with
    // depth (Radford et al., "Language models are unsupervised multitask learners", 2019).
    double residual = Math.sqrt(1.0 / (2.0 * config.layers()));
    List<ParameterShape> shapes = new ArrayList<>();
    shapes.add(matrix(EMBEDDING, config.vocabSize(), hidden, Math.sqrt(1.0 / hidden)));
    for (int layer = 0; layer < config.layers(); layer++) {
      shapes.add(norm(layer(layer, 0), hidden));
      shapes.add(matrix(layer(layer, 1), hidden, hidden, Math.sqrt(1.0 / hidden)));
      shapes.add(matrix(layer(layer, 2), kv, hidden, Math.sqrt(1.0 / hidden)));
      shapes.add(matrix(layer(layer, 3), kv, hidden, Math.sqrt(1.0 / hidden)));
      shapes.add(matrix(layer(layer, 4), hidden, hidden, residual * Math.sqrt(1.0 / hidden)));
      shapes.add(norm(layer(layer, 5), hidden));
      shapes.add(matrix(layer(layer, 6), inner, hidden, Math.sqrt(1.0 / hidden)));
      shapes.add(matrix(layer(layer, 7), inner, hidden, Math.sqrt(1.0 / hidden)));
      shapes.add(matrix(layer(layer, 8), hidden, inner, residual * Math.sqrt(1.0 / inner)));
    }
    shapes.add(norm(FINAL_NORM, hidden));
    if (!config.tiedHead()) {
      shapes.add(matrix(HEAD, config.vocabSize(), hidden, Math.sqrt(1.0 / hidden)));
    }
    return List.copyOf(shapes);
  }

  static String layer(int layer, int part) {
    return "model.layers." + layer + "." + LAYER.get(part);
  }

  boolean isNorm() {
    return cols == 0;
  }

  long elements() {
    return isNorm() ? rows : Math.multiplyExact(rows, cols);
  }

  long[] shape() {
    return isNorm() ? new long[] {rows} : new long[] {rows, cols};
  }

  private static ParameterShape matrix(String name, long rows, long cols, double deviation) {
    return new ParameterShape(name, rows, cols, deviation);
  }

  private static ParameterShape norm(String name, long elements) {
    return new ParameterShape(name, elements, 0, 0);
  }
}
