package dev.polka.memory;

import dev.polka.memory.internal.NativeFile;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;

/** The only door of this package to JavaCPP's native side: loading it, and addresses. */
final class JavaCpp {
  private static final NativeLoadException FAILURE =
      new NativeFile("JavaCPP", "org.bytedeco:javacpp", Loader.class, "", "jnijavacpp")
          .tryLoad(Pointer.class, () -> Address.of(ByteBuffer.allocateDirect(1)));

  private JavaCpp() {}

  /** Loads JavaCPP's own library, once; throws the same exception each time if that failed. */
  static void load() {
    if (FAILURE != null) {
      throw FAILURE;
    }
  }

  /** A pointer that owns nothing. */
  static Pointer at(long address) {
    load();
    return new Address(address);
  }

  /** The address of the buffer's next element. */
  static long addressOf(Buffer buffer, ByteOrder order, DType dtype, String name) {
    if (!buffer.isDirect()) {
      throw new IllegalArgumentException(
          name + ": a heap buffer cannot be viewed; a direct one can (ByteBuffer.allocateDirect)");
    }
    if (order != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException(
          name
              + ": the buffer's byte order is "
              + order
              + ", it must be the native "
              + ByteOrder.nativeOrder());
    }
    load();
    return Address.of(buffer) + (long) buffer.position() * dtype.bytes();
  }

  private static final class Address extends Pointer {
    Address(long address) {
      this.address = address;
    }

    static long of(Buffer buffer) {
      return getDirectBufferAddress(buffer);
    }
  }
}
