package dev.polka.kernel;

import dev.polka.kernel.internal.NativeCall;
import dev.polka.kernel.internal.SoftmaxStruct;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import java.nio.ByteBuffer;

/**
 * How logits become a distribution: {@code softcap * tanh(z / softcap)}, divided by the
 * temperature, then columns outside the keep-mask count as {@code -inf}.
 */
record Softmax(
    float temperature, Floats rowTemperature, float softcap, KeepMask keepMask, long validVocab) {
  static final Softmax PLAIN = new Softmax(1, null, 0, null, 0);

  Softmax withTemperature(float value) {
    Require.temperature("temperature", value);
    return new Softmax(value, null, softcap, keepMask, validVocab);
  }

  Softmax withRowTemperature(Floats values) {
    return new Softmax(1, values, softcap, keepMask, validVocab);
  }

  Softmax withSoftcap(float value) {
    Require.positive("softcap", value);
    return new Softmax(temperature, rowTemperature, value, keepMask, validVocab);
  }

  Softmax withKeepMask(KeepMask mask) {
    return new Softmax(temperature, rowTemperature, softcap, mask, validVocab);
  }

  Softmax withValidVocab(long columns) {
    if (columns < 1) {
      throw new IllegalArgumentException("validVocab: " + columns + " is not at least 1");
    }
    return new Softmax(temperature, rowTemperature, softcap, keepMask, columns);
  }

  void write(NativeCall call, ByteBuffer struct, int at, Matrix logits) {
    if (validVocab > logits.cols()) {
      throw new IllegalArgumentException(
          "validVocab: " + validVocab + " is more than the " + logits.cols() + " columns");
    }
    call.in("rowTemperature", rowTemperature, logits.rows(), at + SoftmaxStruct.ROW_TEMPERATURE);
    struct.putFloat(at + SoftmaxStruct.TEMPERATURE, temperature);
    struct.putFloat(at + SoftmaxStruct.SOFTCAP, softcap);
    struct.putLong(at + SoftmaxStruct.VALID_VOCAB, validVocab);
    if (keepMask != null) {
      keepMask.write(call, struct, at, logits.rows(), validVocab == 0 ? logits.cols() : validVocab);
    }
  }

  /** One temperature for all rows of a softmax already written. */
  static void overrideTemperature(ByteBuffer struct, int at, float temperature) {
    struct.putLong(at + SoftmaxStruct.ROW_TEMPERATURE, 0);
    struct.putFloat(at + SoftmaxStruct.TEMPERATURE, temperature);
  }

  /** Neither temperature nor softcap, in a softmax already written. */
  static void plain(ByteBuffer struct, int at) {
    overrideTemperature(struct, at, 1);
    struct.putFloat(at + SoftmaxStruct.SOFTCAP, 0);
  }
}
