package dev.polka.kernel;

import dev.polka.kernel.internal.gen.PolkaNative;
import dev.polka.memory.Device;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/** Turns a {@code polka_status} into the exception that says the same. */
final class NativeStatus {
  /** Arguments that are called otherwise here than in C, apart from the case of their letters. */
  private static final Map<String, String> JAVA_NAMES =
      Map.ofEntries(
          Map.entry("d_logits", "gradient"),
          Map.entry("d_student", "gradient"),
          Map.entry("d_log_prob", "gradient"),
          Map.entry("d_entropy", "entropyGradient"),
          Map.entry("ref_log_prob", "reference"),
          Map.entry("old_log_prob", "old"),
          Map.entry("behaviour_log_prob", "behaviour"),
          Map.entry("nll_weights", "likelihoodWeights"),
          Map.entry("group_offsets", "groups"),
          Map.entry("student_softmax", "student"),
          Map.entry("teacher_softmax", "teacher"));

  private static final Pattern C_NAME = Pattern.compile("\\b[a-z][a-z0-9]*(_([a-z0-9]+))+\\b");

  private NativeStatus() {}

  /** The text with arguments called what they are called in Java: {@code gradientScale}. */
  static String inJava(String text) {
    return C_NAME.matcher(text).replaceAll(name -> javaName(name.group()));
  }

  private static String javaName(String name) {
    String camelCase =
        Pattern.compile("_([a-z0-9])")
            .matcher(name)
            .replaceAll(c -> c.group(1).toUpperCase(Locale.ROOT));
    return JAVA_NAMES.getOrDefault(name, camelCase);
  }

  /**
   * Returns if the call went well. The text belongs to the thread, so this comes right after it.
   */
  static void check(int status, Device device) {
    if (status != PolkaNative.POLKA_OK) {
      throw exception(status, device, lastError());
    }
  }

  static String lastError() {
    return PolkaNative.polka_last_error().getString();
  }

  private static RuntimeException exception(int status, Device device, String nativeText) {
    String text = inJava(nativeText);
    return switch (status) {
      case PolkaNative.POLKA_INVALID_ARGUMENT -> new IllegalArgumentException(text);
      case PolkaNative.POLKA_OUT_OF_RANGE -> new IndexOutOfBoundsException(text);
      case PolkaNative.POLKA_CUDA_ERROR -> new CudaException(status, text);
      case PolkaNative.POLKA_CUDA_LOST -> new CudaFatalException(status, text);
      default ->
          device.kind() == Device.Kind.CUDA
              ? new CudaException(status, text)
              : new PolkaException(status, text);
    };
  }
}
