package dev.polka.train.model;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.polka.memory.DType;
import dev.polka.train.InputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;

/**
 * A safetensors file, open for reading. The whole header is checked when it is opened: types,
 * shapes, byte ranges that follow each other without gaps up to the file's end.
 *
 * <p>One thread at a time.
 */
public final class SafetensorsFile implements AutoCloseable {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION);
  private static final long LARGEST_HEADER = 100_000_000;
  private static final int CHUNK = 1 << 24; // bytes read at a time

  private final Path file;
  private final FileChannel channel;
  private final Map<String, Entry> entries = new LinkedHashMap<>();
  private final Map<String, String> metadata = new LinkedHashMap<>();
  private long dataStart;

  private record Entry(DType type, long[] shape, long from, long to) {}

  private SafetensorsFile(Path file, FileChannel channel) {
    this.file = file;
    this.channel = channel;
  }

  /**
   * Opens a file.
   *
   * @param file the file
   * @return the open file; the caller closes it
   * @throws InputException naming the file, and the tensor where there is one, if the file is
   *     missing or broken
   */
  public static SafetensorsFile open(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InputException(file + ": no such file");
    }
    SafetensorsFile opened = null;
    try {
      opened = new SafetensorsFile(file, FileChannel.open(file, StandardOpenOption.READ));
      opened.readHeader();
      return opened;
    } catch (IOException e) {
      close(opened);
      throw new InputException(file + ": cannot be read: " + firstLine(e), e);
    } catch (RuntimeException e) {
      close(opened);
      throw e;
    }
  }

  private static void close(SafetensorsFile opened) {
    if (opened != null) {
      opened.close();
    }
  }

  private void readHeader() throws IOException {
    long size = channel.size();
    if (size < Long.BYTES) {
      throw broken("it has " + size + " bytes, fewer than the 8 of the header's length");
    }
    ByteBuffer length = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    readFully(length, 0);
    long header = length.flip().getLong();
    if (header < 2 || header > Math.min(LARGEST_HEADER, size - Long.BYTES)) {
      throw broken("its header claims " + header + " of the file's " + size + " bytes");
    }
    ByteBuffer text = ByteBuffer.allocate((int) header);
    readFully(text, Long.BYTES);
    dataStart = Long.BYTES + header;
    JsonNode root;
    try {
      root = JSON.readTree(text.array());
    } catch (IOException e) {
      throw new InputException(file + ": its header is not JSON: " + firstLine(e), e);
    }
    if (!root.isObject()) {
      throw broken("its header is not a JSON object");
    }
    for (Map.Entry<String, JsonNode> field : root.properties()) {
      if (field.getKey().equals("__metadata__")) {
        field.getValue().properties().forEach(m -> metadata.put(m.getKey(), m.getValue().asText()));
      } else {
        entries.put(field.getKey(), entry(field.getKey(), field.getValue()));
      }
    }
    requireGapless(size - dataStart);
  }

  private Entry entry(String name, JsonNode node) {
    DType type = Safetensors.type(node.path("dtype").asText());
    if (type == null) {
      throw broken(
          "tensor "
              + name
              + " has dtype "
              + node.path("dtype")
              + ", only F32, BF16, F16, F64 and I64 are supported");
    }
    JsonNode offsets = node.path("data_offsets");
    if (!node.path("shape").isArray() || offsets.size() != 2) {
      throw broken("tensor " + name + " lacks a shape or data_offsets");
    }
    long[] shape = new long[node.path("shape").size()];
    long bytes = type.bytes();
    for (int i = 0; i < shape.length; i++) {
      shape[i] = number(name, "shape", node.path("shape").get(i));
      try {
        bytes = Math.multiplyExact(bytes, shape[i]);
      } catch (ArithmeticException e) {
        throw broken("tensor " + name + " has the shape " + node.path("shape") + ", too large");
      }
    }
    long from = number(name, "data_offsets", offsets.get(0));
    long to = number(name, "data_offsets", offsets.get(1));
    if (to - from != bytes) {
      throw broken(
          "tensor "
              + name
              + " of shape "
              + node.path("shape")
              + " needs "
              + bytes
              + " bytes, its data_offsets span "
              + (to - from));
    }
    return new Entry(type, shape, from, to);
  }

  private long number(String name, String key, JsonNode node) {
    if (!node.isIntegralNumber() || !node.canConvertToLong() || node.longValue() < 0) {
      throw broken("tensor " + name + " has " + node + " in " + key);
    }
    return node.longValue();
  }

  private void requireGapless(long bytes) {
    List<Map.Entry<String, Entry>> sorted =
        entries.entrySet().stream()
            .sorted(
                Comparator.comparingLong((Map.Entry<String, Entry> e) -> e.getValue().from())
                    .thenComparingLong(e -> e.getValue().to()))
            .toList();
    long end = 0;
    for (Map.Entry<String, Entry> each : sorted) {
      if (each.getValue().from() != end) {
        throw broken(
            "tensor "
                + each.getKey()
                + " begins at byte "
                + each.getValue().from()
                + ", the one before it ends at "
                + end);
      }
      end = each.getValue().to();
    }
    if (end != bytes) {
      throw broken("its tensors need " + end + " bytes after the header, it has " + bytes);
    }
  }

  /**
   * The tensors in the file.
   *
   * @return names, in the order of the header
   */
  public Set<String> names() {
    return Collections.unmodifiableSet(entries.keySet());
  }

  /**
   * Checks that a tensor is there as it is needed.
   *
   * @param name its name
   * @param shape the shape it must have
   * @param types the types it may have
   * @throws InputException naming the file, the tensor, what it has and what it must have
   */
  public void require(String name, long[] shape, Set<DType> types) {
    Entry entry = entries.get(name);
    if (entry == null) {
      throw broken("tensor " + name + " is missing, of shape " + Arrays.toString(shape));
    }
    if (!Arrays.equals(entry.shape(), shape)) {
      throw broken(
          "tensor "
              + name
              + " has the shape "
              + Arrays.toString(entry.shape())
              + ", must have "
              + Arrays.toString(shape));
    }
    if (!types.contains(entry.type())) {
      throw broken("tensor " + name + " is of type " + entry.type() + ", must be one of " + types);
    }
  }

  /**
   * Free text that was written with the tensors.
   *
   * @return text by key
   */
  public Map<String, String> metadata() {
    return Collections.unmodifiableMap(metadata);
  }

  /**
   * Reads a tensor.
   *
   * @param name its name
   * @return a new tensor of the stored type, contiguous, on the CPU; in the caller's scope, or the
   *     caller's to close
   * @throws InputException if there is none of that name, or the file cannot be read
   */
  public Tensor read(String name) {
    Entry entry = entries.get(name);
    if (entry == null) {
      throw broken("tensor " + name + " is missing");
    }
    Tensor tensor = empty(entry);
    try (Pointer data = tensor.data_ptr();
        BytePointer view = new BytePointer(data)) {
      long bytes = entry.to() - entry.from();
      for (long at = 0; at < bytes; at += CHUNK) {
        ByteBuffer part = view.position(at).limit(Math.min(at + CHUNK, bytes)).asByteBuffer();
        readFully(part, dataStart + entry.from() + at);
      }
    } catch (IOException e) {
      throw new InputException(file + ": tensor " + name + " cannot be read: " + firstLine(e), e);
    }
    return tensor;
  }

  private static Tensor empty(Entry entry) {
    try (TensorOptions options = new TensorOptions(Safetensors.scalarType(entry.type()))) {
      return torch.zeros(entry.shape(), options);
    }
  }

  private void readFully(ByteBuffer buffer, long position) throws IOException {
    while (buffer.hasRemaining()) {
      int read = channel.read(buffer, position);
      if (read < 0) {
        throw broken("it ends at byte " + position);
      }
      position += read;
    }
  }

  private InputException broken(String what) {
    return new InputException(file + ": " + what);
  }

  private static String firstLine(Exception e) {
    return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
  }

  /** Closes the file; tensors that were read stay. */
  @Override
  public void close() {
    try {
      channel.close();
    } catch (IOException e) {
      throw new UncheckedIOException(file + ": cannot be closed", e);
    }
  }
}
