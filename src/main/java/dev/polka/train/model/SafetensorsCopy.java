package dev.polka.train.model;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;

/**
 * What tensors hold at one moment, to be written while they change: a copy in memory of the same
 * size. Made by one thread, it may be written and closed by another.
 */
public final class SafetensorsCopy implements AutoCloseable {
  private final Map<String, Tensor> tensors;
  private final Map<String, String> metadata;

  private SafetensorsCopy(Map<String, Tensor> tensors, Map<String, String> metadata) {
    this.tensors = tensors;
    this.metadata = metadata;
  }

  /**
   * Copies tensors.
   *
   * @param tensors as for {@link Safetensors#write}
   * @param metadata free text by key
   * @return the copy; the caller closes it
   */
  public static SafetensorsCopy of(Map<String, Tensor> tensors, Map<String, String> metadata) {
    Map<String, Tensor> copies = new LinkedHashMap<>();
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard()) {
      tensors.forEach((name, tensor) -> copies.put(name, Scopes.keep(tensor.detach().clone())));
    }
    return new SafetensorsCopy(copies, Map.copyOf(metadata));
  }

  /**
   * Writes the file that {@link Safetensors#write} would have written when the copy was made.
   *
   * @param file the file, replaced if it exists
   * @throws java.io.UncheckedIOException if it cannot be written
   */
  public void write(Path file) {
    Safetensors.write(file, tensors, metadata);
  }

  /** Frees the copy. */
  @Override
  public void close() {
    tensors.values().forEach(Tensor::close);
  }
}
