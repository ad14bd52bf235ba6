package dev.polka.kernel.internal;

import dev.polka.memory.Placement;
import java.nio.ByteBuffer;

/** Byte offsets of {@code polka_exec}. */
public final class ExecStruct {
  public static final int STREAM = 0;
  public static final int WORKSPACE = 8;
  public static final int WORKSPACE_BYTES = 16;
  public static final int WORKSPACE_NEEDED = 24;
  public static final int DEVICE_TYPE = 32;
  public static final int DEVICE_INDEX = 36;
  public static final int THREADS = 40;
  public static final int RAN_TARGET = 44;

  /** Bytes of the whole struct. */
  public static final int SIZE = 48;

  private ExecStruct() {}

  /** The workspace stays absent; the call adds it when it knows how much is needed. */
  static void write(ByteBuffer to, int at, Placement placement, int threads) {
    to.putLong(at + STREAM, placement.stream());
    to.putInt(at + DEVICE_TYPE, placement.device().kind().code());
    to.putInt(at + DEVICE_INDEX, placement.device().index());
    to.putInt(at + THREADS, threads);
  }
}
