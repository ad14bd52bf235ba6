package dev.polka.kernel.internal;

import dev.polka.kernel.internal.gen.polka_divergence_args;
import dev.polka.kernel.internal.gen.polka_group_advantage_args;
import dev.polka.kernel.internal.gen.polka_log_prob_backward_args;
import dev.polka.kernel.internal.gen.polka_log_prob_forward_args;
import dev.polka.kernel.internal.gen.polka_policy_loss_args;
import dev.polka.kernel.internal.gen.polka_preference_loss_args;
import dev.polka.kernel.internal.gen.polka_segment_args;
import dev.polka.kernel.internal.gen.polka_token_kl_args;
import dev.polka.kernel.internal.gen.polka_token_returns_args;
import dev.polka.kernel.internal.gen.polka_topk_divergence_args;
import dev.polka.kernel.internal.gen.polka_value_loss_args;
import dev.polka.kernel.internal.gen.polka_vocab_divergence_args;
import dev.polka.kernel.internal.gen.polka_vocab_log_prob_args;
import dev.polka.memory.Allocation;
import dev.polka.memory.Allocator;
import dev.polka.memory.DType;
import dev.polka.memory.Matrix;
import dev.polka.memory.Owner;
import dev.polka.memory.Placement;
import dev.polka.memory.Values;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.bytedeco.javacpp.Pointer;

/**
 * One native call being prepared: a struct in a direct buffer, written at static offsets, and the
 * memory that the call reads and writes.
 *
 * <p>Every view goes through {@link #in} or {@link #out}. That is where its size, device and
 * writability are checked and its overlap with the others refused; and since the call is reachable
 * from its thread, what it has been given stays reachable until {@link #exit}, while native code
 * works on bare addresses.
 *
 * <p>{@link #enter} hands each platform thread its own call, over and over, so that a call
 * allocates nothing; virtual threads, of which there may be millions, share a few.
 */
public final class NativeCall {
  private static volatile int defaultThreads;

  static final int BUFFER_BYTES = 768;
  private static final int VIEWS = 32;
  private static final int ALIGNMENT = 64;
  static final int EXEC = LogProbForwardStruct.EXEC; // the same in every args struct

  private final ByteBuffer buffer =
      ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.nativeOrder());
  private final Pointer start = new Pointer(buffer);
  private final polka_log_prob_forward_args logProbForward = new polka_log_prob_forward_args(start);
  private final polka_log_prob_backward_args logProbBackward =
      new polka_log_prob_backward_args(start);
  private final polka_token_kl_args tokenKl = new polka_token_kl_args(start);
  private final polka_divergence_args divergence = new polka_divergence_args(start);
  private final polka_topk_divergence_args topkDivergence = new polka_topk_divergence_args(start);
  private final polka_vocab_divergence_args vocabDivergence =
      new polka_vocab_divergence_args(start);
  private final polka_vocab_log_prob_args vocabLogProb = new polka_vocab_log_prob_args(start);
  private final polka_group_advantage_args groupAdvantage = new polka_group_advantage_args(start);
  private final polka_policy_loss_args policyLoss = new polka_policy_loss_args(start);
  private final polka_value_loss_args valueLoss = new polka_value_loss_args(start);
  private final polka_preference_loss_args preferenceLoss = new polka_preference_loss_args(start);
  private final polka_token_returns_args tokenReturns = new polka_token_returns_args(start);
  private final polka_segment_args segment = new polka_segment_args(start);

  private final Object[] views = new Object[VIEWS];
  private final String[] names = new String[VIEWS];
  private final long[] begins = new long[VIEWS];
  private final long[] ends = new long[VIEWS];
  private final boolean[] written = new boolean[VIEWS];
  private int count;

  private Placement placement;
  private String placedBy;
  private Allocation workspace;
  private boolean busy;

  NativeCall() {}

  /**
   * The calling thread's call, empty. Give it back with {@link #exit} in a finally block.
   *
   * @throws dev.polka.memory.NativeLoadException if the native library cannot be loaded
   */
  public static NativeCall enter() {
    NativeLibrary.load();
    NativeCall call = CallPool.take();
    if (call.busy) {
      call = new NativeCall(); // A call within a call, such as an allocator that computes.
    }
    call.busy = true;
    return call;
  }

  /** Lets go of everything the call was given. */
  public void exit() {
    Arrays.fill(views, 0, count, null);
    count = 0;
    placement = null;
    placedBy = null;
    busy = false;
    CallPool.giveBack(this);
  }

  /** Starts a struct of this size: all fields 0, except its own size. */
  public ByteBuffer begin(int structSize) {
    for (int at = 0; at < structSize; at += Long.BYTES) {
      buffer.putLong(at, 0);
    }
    buffer.putLong(0, structSize);
    return buffer;
  }

  /** The struct that {@link #begin} started. */
  public ByteBuffer struct() {
    return buffer;
  }

  /** Writes a size into the struct. */
  public void put(int at, long value) {
    buffer.putLong(at, value);
  }

  /** Registers what the call reads, and writes its address into the struct; 0 if it is absent. */
  public void in(String name, Values view, long size, int at) {
    if (view != null) {
      requireSize(name, view, size);
      long address = view.address();
      add(name, view, address, view.bytes(), view.placement(), false);
      buffer.putLong(at, address);
    }
  }

  /** Registers what the call reads the first {@code size} elements of. */
  public void inAtLeast(String name, Values view, long size, int at) {
    if (view.size() < size) {
      throw new IllegalArgumentException(
          name + ": has " + view.size() + " elements, at least " + size + " are needed");
    }
    in(name, view, view.size(), at);
  }

  /** Registers what the call writes, and writes its address into the struct; 0 if it is absent. */
  public void out(String name, Values view, long size, int at) {
    if (view != null) {
      requireSize(name, view, size);
      requireWritable(name, view.readOnly(), view.owner());
      long address = view.address();
      add(name, view, address, view.bytes(), view.placement(), true);
      buffer.putLong(at, address);
    }
  }

  /** Registers a matrix that the call reads, and writes its description into the struct. */
  public void in(String name, Matrix matrix, int at) {
    add(name, matrix, matrix.address(), matrix.span(), matrix.placement(), false);
    MatrixStruct.write(buffer, at, matrix);
  }

  /** Registers a matrix that the call writes, and writes its description into the struct. */
  public void out(String name, Matrix matrix, int at) {
    requireWritable(name, matrix.readOnly(), matrix.owner());
    add(name, matrix, matrix.address(), matrix.span(), matrix.placement(), true);
    MatrixStruct.write(buffer, at, matrix);
  }

  /** Describes a matrix as output that was registered as input: the call works in place. */
  public void inPlace(String name, Matrix matrix, int at) {
    requireWritable(name, matrix.readOnly(), matrix.owner());
    MatrixStruct.write(buffer, at, matrix);
    for (int i = 0; i < count; i++) {
      if (views[i] == matrix) {
        written[i] = true;
      }
    }
  }

  private static void requireSize(String name, Values view, long size) {
    if (view.size() != size) {
      throw new IllegalArgumentException(
          name + ": has " + view.size() + " elements, " + size + " are needed");
    }
  }

  private static void requireWritable(String name, boolean readOnly, Object owner) {
    if (readOnly) {
      throw new IllegalArgumentException(name + ": is read-only, the call would write to it");
    }
    if (owner instanceof Owner library) {
      library.requireWritable(name);
    }
  }

  private void add(
      String name, Object view, long address, long bytes, Placement where, boolean write) {
    if (placement == null) {
      placement = where;
      placedBy = name;
    } else if (placement != where && !placement.device().equals(where.device())) {
      throw new IllegalArgumentException(
          name + ": lies on " + where.device() + ", but " + placedBy + " on " + placement.device());
    }
    if (bytes == 0) {
      return;
    }
    long end = address + bytes;
    for (int i = 0; i < count; i++) {
      if ((write || written[i]) && address < ends[i] && begins[i] < end) {
        throw new IllegalArgumentException(
            name
                + ": its memory overlaps that of "
                + names[i]
                + ", and the call would write there");
      }
    }
    views[count] = view;
    names[count] = name;
    begins[count] = address;
    ends[count] = end;
    written[count] = write;
    count++;
  }

  /** Writes where and how the call runs: where its memory lies, on this many threads at most. */
  public void exec(int threads) {
    // Read once: the workspace and the call must be planned for the same number.
    int used = threads > 0 ? threads : defaultThreads;
    ExecStruct.write(buffer, EXEC, placement == null ? Placement.CPU : placement, used);
  }

  /** Sets the number of threads of calls that name none; 0 for the machine's. */
  public static void useThreads(int threads) {
    defaultThreads = threads;
  }

  /** Provides the scratch memory that a {@code polka_*_workspace} function has just asked for. */
  public void provideWorkspace() {
    long needed = buffer.getLong(EXEC + ExecStruct.WORKSPACE_NEEDED);
    if (needed == 0) {
      return;
    }
    long held = workspace == null ? 0 : workspace.bytes();
    if (held < needed + ALIGNMENT) {
      if (workspace != null) {
        workspace.close();
        workspace = null;
      }
      // Grows by half at least, so that slowly growing inputs do not allocate each time.
      long bytes = Math.max(needed + ALIGNMENT, held + held / 2);
      workspace = Allocator.nativeMemory().allocate(DType.U8, 1, bytes);
    }
    long aligned = workspace.address() + ALIGNMENT - 1 & -ALIGNMENT;
    buffer.putLong(EXEC + ExecStruct.WORKSPACE, aligned);
    buffer.putLong(EXEC + ExecStruct.WORKSPACE_BYTES, needed);
  }

  /** After a call that went well: tells the owners of what was written. */
  public void completed() {
    for (int i = 0; i < count; i++) {
      if (written[i]) {
        if (views[i] instanceof Matrix matrix) {
          matrix.written();
        } else {
          ((Values) views[i]).written();
        }
      }
    }
  }

  /** The SIMD target that the kernel reported, after the call. */
  public int ranTarget() {
    return buffer.getInt(EXEC + ExecStruct.RAN_TARGET);
  }

  public polka_log_prob_forward_args logProbForward() {
    return logProbForward;
  }

  public polka_log_prob_backward_args logProbBackward() {
    return logProbBackward;
  }

  public polka_token_kl_args tokenKl() {
    return tokenKl;
  }

  public polka_divergence_args divergence() {
    return divergence;
  }

  public polka_topk_divergence_args topkDivergence() {
    return topkDivergence;
  }

  public polka_vocab_divergence_args vocabDivergence() {
    return vocabDivergence;
  }

  public polka_vocab_log_prob_args vocabLogProb() {
    return vocabLogProb;
  }

  public polka_group_advantage_args groupAdvantage() {
    return groupAdvantage;
  }

  public polka_policy_loss_args policyLoss() {
    return policyLoss;
  }

  public polka_token_returns_args tokenReturns() {
    return tokenReturns;
  }

  public polka_segment_args segment() {
    return segment;
  }

  public polka_value_loss_args valueLoss() {
    return valueLoss;
  }

  public polka_preference_loss_args preferenceLoss() {
    return preferenceLoss;
  }
}
