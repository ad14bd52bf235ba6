package dev.polka.train.model;

import dev.polka.train.RandomKey;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/**
 * The f32 parameters of a model: leaves of autograd, named as in Hugging Face's LlamaForCausalLM.
 *
 * <p>All values lie in one flat tensor and all gradients in another, matrices first and the weights
 * of norms after them; the leaves and their {@code .grad} are views. So clipping, weight decay and
 * the optimizer are a few operations over everything. Each parameter begins at a multiple of 64
 * bytes; the gaps stay 0.
 *
 * <p>One thread at a time.
 */
public final class Parameters implements AutoCloseable {
  private static final long ALIGNMENT = 16; // elements
  private static final long BLOCK = 1 << 16; // elements initialised at a time

  private final List<ParameterShape> shapes;
  private final long[] offsets;
  private final long decayed;
  private final Tensor values;
  private final Tensor gradients;
  private final Map<String, Tensor> leaves = new LinkedHashMap<>();

  Parameters(ModelConfig config) {
    shapes = ParameterShape.of(config);
    offsets = new long[shapes.size()];
    decayed = place(false, 0);
    long size = place(true, decayed);
    try (PointerScope scope = new PointerScope()) {
      values = Scopes.keep(torch.zeros(size));
      gradients = Scopes.keep(torch.zeros(size));
      for (int i = 0; i < shapes.size(); i++) {
        Tensor leaf = view(values, i).detach();
        leaf.set_requires_grad(true);
        leaf.mutable_grad().put(view(gradients, i));
        leaves.put(shapes.get(i).name(), Scopes.keep(leaf));
      }
    }
  }

  private long place(boolean norms, long offset) {
    for (int i = 0; i < offsets.length; i++) {
      if (shapes.get(i).isNorm() == norms) {
        offsets[i] = offset;
        offset = Math.addExact(offset, shapes.get(i).elements());
        offset = Math.multiplyExact((offset + ALIGNMENT - 1) / ALIGNMENT, ALIGNMENT);
      }
    }
    return offset;
  }

  /**
   * Draws initial values: normal for matrices, with variance 1 / inputs (and 1 / (2 layers) of that
   * for the two matrices of a layer that write to the residual stream), 1 for the weights of norms.
   *
   * @param key what they are drawn with
   */
  void initialise(RandomKey key) {
    try (PointerScope scope = new PointerScope();
        FloatPointer data = values.data_ptr_float()) {
      for (int i = 0; i < offsets.length; i++) {
        ParameterShape shape = shapes.get(i);
        RandomKey own = key.with(shape.name());
        for (long from = 0; from < shape.elements(); from += BLOCK) {
          float[] block = new float[(int) Math.min(BLOCK, shape.elements() - from)];
          for (int j = 0; j < block.length; j++) {
            block[j] = shape.isNorm() ? 1 : (float) (shape.deviation() * normal(own, from + j));
          }
          data.position(offsets[i] + from).put(block, 0, block.length);
        }
      }
    }
  }

  /** A standard normal number by Box and Muller's transform; StrictMath, so the same anywhere. */
  private static double normal(RandomKey key, long element) {
    double radius = StrictMath.sqrt(-2 * StrictMath.log(1 - key.uniform(2 * element)));
    return radius * StrictMath.cos(2 * Math.PI * key.uniform(2 * element + 1));
  }

  /**
   * The parameters by name, in the order in which they are used.
   *
   * @return an unmodifiable map to f32 leaves; they belong to this object
   */
  public Map<String, Tensor> named() {
    return Collections.unmodifiableMap(leaves);
  }

  /**
   * One parameter.
   *
   * @param name its name
   * @return the f32 leaf; it belongs to this object
   * @throws IllegalArgumentException if there is none of that name
   */
  public Tensor get(String name) {
    Tensor leaf = leaves.get(name);
    if (leaf == null) {
      throw new IllegalArgumentException("name is " + name + ", must be one of " + leaves.keySet());
    }
    return leaf;
  }

  /**
   * Number of trainable numbers.
   *
   * @return the sum of all elements
   */
  public long count() {
    return shapes.stream().mapToLong(ParameterShape::elements).sum();
  }

  /** Sets all gradients to 0. */
  public void zeroGradients() {
    gradients.zero_();
  }

  /**
   * Takes over the values of another model of the same sizes; gradients are left alone.
   *
   * @param other the other model's parameters
   * @throws IllegalArgumentException if a name or shape differs
   */
  public void copyFrom(Parameters other) {
    if (!shapes.equals(other.shapes)) {
      throw new IllegalArgumentException("other has parameters of other names or shapes");
    }
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      values.copy_(other.values);
    }
  }

  /** All values, matrices first; the gaps between parameters are 0. */
  Tensor values() {
    return values;
  }

  /** All gradients, laid out as {@link #values}. */
  Tensor gradients() {
    return gradients;
  }

  /** How many elements at the front of {@link #values} belong to matrices, which decay. */
  long decayed() {
    return decayed;
  }

  /** Views of another flat tensor of this layout, by name, in the caller's scope. */
  Map<String, Tensor> views(Tensor flat) {
    Map<String, Tensor> views = new LinkedHashMap<>();
    for (int i = 0; i < offsets.length; i++) {
      views.put(shapes.get(i).name(), view(flat, i));
    }
    return views;
  }

  private Tensor view(Tensor flat, int i) {
    ParameterShape shape = shapes.get(i);
    return flat.narrow(0, offsets[i], shape.elements()).view(shape.shape());
  }

  /** Frees values and gradients. */
  @Override
  public void close() {
    leaves.values().forEach(Tensor::close);
    values.close();
    gradients.close();
  }
}
