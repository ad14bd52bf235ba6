package dev.polka.train.model;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * A decoder's weights in the type it computes in: the parameters themselves in f32, or their bf16
 * casts, through which gradients flow back to the f32 leaves.
 *
 * @param embedding {@code [vocab, hidden]}
 * @param layers weights of each layer
 * @param norm {@code [hidden]}
 * @param head {@code [vocab, hidden]}; the embedding if they are tied
 */
record DecoderWeights(Tensor embedding, List<Layer> layers, Tensor norm, Tensor head) {

  /** The weights of one layer; matrices are {@code [outputs, inputs]}. */
  record Layer(
      Tensor attentionNorm,
      Tensor query,
      Tensor key,
      Tensor value,
      Tensor output,
      Tensor feedForwardNorm,
      Tensor gate,
      Tensor up,
      Tensor down) {}

  /** Casts where needed, in the caller's scope and gradient mode. */
  static DecoderWeights of(Parameters parameters, ModelConfig config, ScalarType dtype) {
    List<Layer> layers = new ArrayList<>();
    for (int i = 0; i < config.layers(); i++) {
      Tensor[] t = new Tensor[ParameterShape.LAYER.size()];
      for (int part = 0; part < t.length; part++) {
        t[part] = cast(parameters.get(ParameterShape.layer(i, part)), dtype);
      }
      layers.add(new Layer(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]));
    }
    Tensor embedding = cast(parameters.get(ParameterShape.EMBEDDING), dtype);
    return new DecoderWeights(
        embedding,
        List.copyOf(layers),
        cast(parameters.get(ParameterShape.FINAL_NORM), dtype),
        config.tiedHead() ? embedding : cast(parameters.get(ParameterShape.HEAD), dtype));
  }

  /** Keeps all weights beyond the open scopes, until {@link #release}. */
  DecoderWeights keep() {
    all().forEach(Scopes::keep);
    return this;
  }

  /** Undoes {@link #keep}: casts are freed, the parameters themselves stay with their owner. */
  void release() {
    all().forEach(Tensor::close);
  }

  private List<Tensor> all() {
    List<Tensor> all = new ArrayList<>(List.of(embedding, norm, head));
    for (Layer l : layers) {
      all.addAll(List.of(l.attentionNorm, l.query, l.key, l.value, l.output));
      all.addAll(List.of(l.feedForwardNorm, l.gate, l.up, l.down));
    }
    return all;
  }

  private static Tensor cast(Tensor parameter, ScalarType dtype) {
    return dtype == ScalarType.Float ? parameter : parameter.to(dtype);
  }
}
