package dev.polka.architecture.broken.kernel;

import dev.polka.architecture.broken.kernel.internal.gen.broken_args;
import org.bytedeco.javacpp.Pointer;

final class FillsStructs {
  void set(broken_args args) {
    args.field(1);
  }

  long get(broken_args args) {
    return args.field();
  }

  broken_args one() {
    return new broken_args();
  }

  broken_args several() {
    return new broken_args(3);
  }

  broken_args over(Pointer memory) {
    return new broken_args(memory);
  }
}
