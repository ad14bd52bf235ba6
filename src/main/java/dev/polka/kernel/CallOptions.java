package dev.polka.kernel;

/** What operations on logits have in common; a gradient scale of 0 means that none is set. */
record CallOptions(Softmax softmax, int threads, float gradientScale) {
  static final CallOptions DEFAULT = new CallOptions(Softmax.PLAIN, 0, 0);

  CallOptions with(Softmax other) {
    return new CallOptions(other, threads, gradientScale);
  }
}
