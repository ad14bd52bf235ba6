package dev.polka.architecture.broken.torch;

import dev.polka.architecture.broken.train.Trainer;
import org.bytedeco.pytorch.Tensor;

public final class Adapter {
  Trainer trainer;

  Object hidden(Tensor tensor) {
    return tensor.createIndexer();
  }

  Tensor filled() {
    return Tensor.create(1f);
  }
}
