package dev.polka.train.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.torch.Tensors;
import dev.polka.train.InputException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SafetensorsTest {
  @TempDir Path directory;

  @Test
  void tensorsComeBackBitForBit() {
    try (PointerScope scope = new PointerScope()) {
      Tensor floats =
          Tensors.of(new float[] {1, -0f, Float.NaN, 3e-45f, Float.NEGATIVE_INFINITY, 6}, 2, 3);
      Map<String, Tensor> tensors = new LinkedHashMap<>();
      tensors.put("floats", floats);
      tensors.put("transposed", floats.transpose(0, 1));
      tensors.put("halves", floats.to(ScalarType.BFloat16));
      tensors.put("longs", Tensors.of(new long[] {Long.MIN_VALUE, 7}));
      tensors.put("scalar", Tensors.of(new double[] {Math.PI}).select(0, 0));
      tensors.put("none", torch.zeros(0, 4));
      Path file = directory.resolve("t.safetensors");

      Safetensors.write(file, tensors, Map.of("format", "pt"));

      try (SafetensorsFile read = SafetensorsFile.open(file)) {
        assertThat(read.names()).containsExactlyElementsOf(tensors.keySet());
        assertThat(read.metadata()).containsExactly(Map.entry("format", "pt"));
        for (String name : tensors.keySet()) {
          Tensor back = read.read(name);
          assertThat(back.shape()).as(name).isEqualTo(tensors.get(name).shape());
          assertThat(bits(back)).as(name).isEqualTo(bits(tensors.get(name)));
        }
      }
    }
  }

  private static long[] bits(Tensor tensor) {
    ScalarType bits =
        switch (tensor.scalar_type().intern()) {
          case Float -> ScalarType.Int;
          case BFloat16 -> ScalarType.Short;
          default -> ScalarType.Long;
        };
    Tensor whole = tensor.contiguous().view(bits).to(ScalarType.Long).contiguous();
    long[] values = new long[(int) whole.numel()];
    if (values.length > 0) {
      whole.data_ptr_long().get(values);
    }
    return values;
  }

  @Test
  void theDataIsAligned() throws IOException {
    Path file = directory.resolve("t.safetensors");
    try (PointerScope scope = new PointerScope()) {
      Safetensors.write(file, Map.of("a", torch.zeros(2)), Map.of());
    }

    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    assertThat(bytes.getLong(0) % 8).isZero();
    assertThat(bytes.capacity()).isEqualTo(8 + (int) bytes.getLong(0) + 8);
  }

  @Test
  void aTypeTheFormatLacksHereIsRefused() {
    try (PointerScope scope = new PointerScope()) {
      Map<String, Tensor> tensors = Map.of("a", torch.zeros(2).to(ScalarType.Bool));
      Path file = directory.resolve("t.safetensors");

      assertThatThrownBy(() -> Safetensors.write(file, tensors, Map.of()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessage("tensors: a is Bool, must be f32, bf16, f16, f64 or int64");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}"
            + "|tensor a of shape [2] needs 8 bytes, its data_offsets span 4",
        "{\"a\":{\"dtype\":\"F8\",\"shape\":[2],\"data_offsets\":[0,8]}}"
            + "|tensor a has dtype \"F8\", only F32, BF16, F16, F64 and I64 are supported",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}"
            + "|tensor a begins at byte 4, the one before it ends at 0",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,8]}}"
            + "|tensor a has -1 in shape",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,8]}}"
            + "|tensor a has the shape [4611686018427387904], too large",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
            + "|its tensors need 4 bytes after the header, it has 8",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}"
            + "|its header is not JSON: Duplicate field 'a'",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}|tensor a lacks a shape or data_offsets",
        "[1]|its header is not a JSON object",
      })
  void aBrokenHeaderIsRefused(String header, String message) throws IOException {
    Path file = file(header.length(), header, 8);

    assertThatThrownBy(() -> SafetensorsFile.open(file))
        .isInstanceOf(InputException.class)
        .hasMessageContaining(file + ": " + message);
  }

  @Test
  void aHeaderLongerThanTheFileIsRefused() throws IOException {
    Path file = file(Long.MAX_VALUE, "{}", 0);

    assertThatThrownBy(() -> SafetensorsFile.open(file))
        .isInstanceOf(InputException.class)
        .hasMessage(file + ": its header claims 9223372036854775807 of the file's 10 bytes");
  }

  @Test
  void aFileOfAFewBytesIsRefused() throws IOException {
    Path file = Files.write(directory.resolve("t.safetensors"), new byte[5]);

    assertThatThrownBy(() -> SafetensorsFile.open(file))
        .isInstanceOf(InputException.class)
        .hasMessageContaining("it has 5 bytes");
  }

  private Path file(long length, String header, int data) throws IOException {
    byte[] text = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer bytes = ByteBuffer.allocate(8 + text.length + data).order(ByteOrder.LITTLE_ENDIAN);
    bytes.putLong(length).put(text);
    return Files.write(directory.resolve("t.safetensors"), bytes.array());
  }
}
