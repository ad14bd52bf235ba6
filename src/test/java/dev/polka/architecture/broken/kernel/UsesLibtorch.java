package dev.polka.architecture.broken.kernel;

import org.bytedeco.pytorch.Tensor;

final class UsesLibtorch {
  Tensor tensor;
}
