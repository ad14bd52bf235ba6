package dev.polka.train.model;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.polka.memory.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * Writes tensors in the safetensors format: eight bytes with the length of the header, a JSON
 * header with type, shape and byte range of each tensor, then their bytes, little-endian.
 *
 * <p>The file's bytes depend on names, values and order alone. {@link SafetensorsFile} reads it.
 */
public final class Safetensors {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final int CHUNK = 1 << 24; // bytes written at a time

  private Safetensors() {}

  /**
   * Writes a file. It is not flushed to the disk: who needs that does it for all files at once.
   *
   * @param file the file, replaced if it exists
   * @param tensors tensors on the CPU by name, in the order of the file: f32, bf16, f16, f64 or
   *     int64, of any strides
   * @param metadata free text by key; Hugging Face's loader needs {@code format: pt}
   * @throws IllegalArgumentException if a tensor has another type
   * @throws UncheckedIOException if the file cannot be written
   */
  public static void write(Path file, Map<String, Tensor> tensors, Map<String, String> metadata) {
    try (PointerScope scope = new PointerScope();
        NoGradGuard guard = new NoGradGuard();
        FileChannel channel =
            FileChannel.open(
                file,
                StandardOpenOption.WRITE,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING)) {
      Map<String, Tensor> dense = new LinkedHashMap<>();
      tensors.forEach((name, tensor) -> dense.put(name, tensor.contiguous()));
      byte[] header = header(dense, metadata);
      ByteBuffer head =
          ByteBuffer.allocate(Long.BYTES + header.length).order(ByteOrder.LITTLE_ENDIAN);
      writeAll(channel, head.putLong(header.length).put(header).flip());
      for (Tensor tensor : dense.values()) {
        writeAll(channel, tensor);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be written", e);
    }
  }

  private static byte[] header(Map<String, Tensor> tensors, Map<String, String> metadata) {
    ObjectNode root = JSON.createObjectNode();
    if (!metadata.isEmpty()) {
      metadata.forEach(root.putObject("__metadata__")::put);
    }
    long offset = 0;
    for (Map.Entry<String, Tensor> each : tensors.entrySet()) {
      Tensor tensor = each.getValue();
      ObjectNode entry = root.putObject(each.getKey());
      entry.put("dtype", typeName(each.getKey(), tensor.scalar_type().intern()));
      ArrayNode shape = entry.putArray("shape");
      for (long i = 0; i < tensor.dim(); i++) {
        shape.add(tensor.size(i));
      }
      long end = Math.addExact(offset, bytes(tensor));
      entry.putArray("data_offsets").add(offset).add(end);
      offset = end;
    }
    byte[] text = root.toString().getBytes(StandardCharsets.UTF_8);
    // Padded with spaces to a multiple of eight bytes, so that the data is aligned.
    byte[] padded = Arrays.copyOf(text, (text.length + Long.BYTES - 1) / Long.BYTES * Long.BYTES);
    Arrays.fill(padded, text.length, padded.length, (byte) ' ');
    return padded;
  }

  private static long bytes(Tensor tensor) {
    return Math.multiplyExact(tensor.numel(), tensor.element_size());
  }

  private static void writeAll(FileChannel channel, Tensor tensor) throws IOException {
    long bytes = bytes(tensor);
    if (bytes == 0) {
      return;
    }
    try (Pointer data = tensor.data_ptr();
        BytePointer view = new BytePointer(data)) {
      for (long from = 0; from < bytes; from += CHUNK) {
        long to = Math.min(from + CHUNK, bytes);
        writeAll(channel, view.position(from).limit(to).asByteBuffer());
      }
    }
  }

  private static void writeAll(FileChannel channel, ByteBuffer buffer) throws IOException {
    while (buffer.hasRemaining()) {
      channel.write(buffer);
    }
  }

  private static String typeName(String name, ScalarType type) {
    return switch (type) {
      case Float -> "F32";
      case BFloat16 -> "BF16";
      case Half -> "F16";
      case Double -> "F64";
      case Long -> "I64";
      default ->
          throw new IllegalArgumentException(
              "tensors: " + name + " is " + type + ", must be f32, bf16, f16, f64 or int64");
    };
  }

  /** The type of a safetensors type name, or null where there is none here. */
  static DType type(String name) {
    return switch (name) {
      case "F32" -> DType.F32;
      case "BF16" -> DType.BF16;
      case "F16" -> DType.F16;
      case "F64" -> DType.F64;
      case "I64" -> DType.I64;
      default -> null;
    };
  }

  static ScalarType scalarType(DType type) {
    return switch (type) {
      case F32 -> ScalarType.Float;
      case BF16 -> ScalarType.BFloat16;
      case F16 -> ScalarType.Half;
      case F64 -> ScalarType.Double;
      case I64 -> ScalarType.Long;
      default -> throw new IllegalArgumentException("type is " + type + ", never stored");
    };
  }
}
