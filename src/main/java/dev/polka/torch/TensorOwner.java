package dev.polka.torch;

import dev.polka.memory.Owner;
import java.util.Arrays;
import org.bytedeco.pytorch.GradMode;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorBase;
import org.bytedeco.pytorch.TensorImpl;

/** A libtorch tensor as the owner of a view's memory. */
record TensorOwner(Tensor tensor) implements Owner {

  @Override
  public boolean isAlive() {
    return !tensor.isNull();
  }

  /** As libtorch has it: a parameter's value is not to be lost to its own gradient. */
  @Override
  public void requireWritable(String name) {
    if (tensor.requires_grad() && GradMode.is_enabled() && showsLeaf()) {
      throw new IllegalArgumentException(
          name
              + ": "
              + this
              + " is a leaf that requires a gradient, or a view of one, and cannot be written in place; compute from a"
              + " copy, or write under NoGradGuard");
    }
  }

  private boolean showsLeaf() {
    if (tensor.is_leaf()) {
      return true;
    }
    if (!tensor.is_view()) {
      return false;
    }
    try (TensorBase base = tensor._base()) {
      return base.is_leaf();
    }
  }

  /**
   * libtorch compares a saved tensor's version with the one it had when it was saved, and refuses a
   * backward pass over a changed one.
   */
  @Override
  public void written() {
    try (TensorImpl impl = tensor.unsafeGetTensorImpl()) {
      impl.bump_version();
    }
  }

  @Override
  public String toString() {
    return tensor.isNull() ? "tensor" : "tensor " + Arrays.toString(tensor.shape());
  }
}
