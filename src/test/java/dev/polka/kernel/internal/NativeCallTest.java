package dev.polka.kernel.internal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatNoException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.memory.Allocator;
import dev.polka.memory.DType;
import dev.polka.memory.Device;
import dev.polka.memory.Floats;
import dev.polka.memory.Matrix;
import dev.polka.memory.MatrixLayout;
import dev.polka.memory.Owner;
import dev.polka.memory.Placement;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class NativeCallTest {
  private static final int AT = 56;

  private NativeCall call;
  private ByteBuffer struct;

  @BeforeEach
  void enter() {
    call = NativeCall.enter();
    struct = call.begin(NativeCall.BUFFER_BYTES);
  }

  @AfterEach
  void exit() {
    call.exit();
  }

  private static FloatBuffer buffer(int size) {
    return ByteBuffer.allocateDirect(4 * size).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }

  @Test
  void aThreadGetsTheSameCallAgain() {
    NativeCall first = call;
    call.exit();
    call = NativeCall.enter();

    assertThat(call).isSameAs(first);
  }

  @Test
  void aCallWithinACallIsAnotherOne() {
    NativeCall inner = NativeCall.enter();
    try {
      assertThat(inner).isNotSameAs(call);
    } finally {
      inner.exit();
    }
  }

  @Test
  void anAbsentViewHasAddressZero() {
    struct = call.begin(TokenKlStruct.SIZE);

    call.in("mask", (Floats) null, 3, TokenKlStruct.MASK);
    call.out("kl", (Floats) null, 3, TokenKlStruct.KL);

    assertThat(struct.getLong(TokenKlStruct.MASK)).isZero();
    assertThat(struct.getLong(TokenKlStruct.KL)).isZero();
  }

  @Test
  void aWrongSizeNamesTheViewItsSizeAndTheOneNeeded() {
    Floats old = Floats.of(buffer(5));

    assertThatThrownBy(() -> call.in("old", old, 8, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("old: has 5 elements, 8 are needed");
  }

  @Test
  void aReadOnlyOutputIsRefused() {
    Floats out = Floats.of(buffer(2).asReadOnlyBuffer());

    assertThatThrownBy(() -> call.out("kl", out, 2, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("kl")
        .hasMessageContaining("read-only");
  }

  @Test
  void mixedDevicesAreRefusedByName() {
    var cuda = new Placement(Device.cuda(1), 0, Allocator.nativeMemory());
    Floats advantages = Floats.view(64, 2, cuda, null);
    call.in("logits", Floats.of(buffer(2)), 2, AT);

    assertThatThrownBy(() -> call.in("advantages", advantages, 2, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("advantages: lies on cuda:1, but logits on cpu");
  }

  @Test
  void anOutputThatOverlapsAnInputIsRefused() {
    Floats all = Floats.of(buffer(10));
    call.in("logProb", all.slice(0, 6), 6, AT);

    assertThatThrownBy(() -> call.out("kl", all.slice(5, 5), 5, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("kl")
        .hasMessageContaining("overlaps that of logProb");
  }

  @Test
  void anInputThatOverlapsAnEarlierOutputIsRefused() {
    Floats all = Floats.of(buffer(10));
    call.out("kl", all.slice(0, 6), 6, AT);

    assertThatThrownBy(() -> call.in("logProb", all.slice(5, 5), 5, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("overlaps that of kl");
  }

  @Test
  void whatTheCallWorksOnInPlaceMustNotBeReadElsewhere() {
    FloatBuffer memory = buffer(12);
    Matrix logits = Matrix.of(memory, 3, 4);
    call.in("logits", logits, 56);
    call.inPlace("gradient", logits, 56);

    assertThatThrownBy(() -> call.in("old", Floats.of(memory.slice(0, 3)), 3, AT))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("overlaps that of logits");
  }

  @Test
  void neighboursAndSharedInputsAreNoOverlap() {
    Floats all = Floats.of(buffer(10));

    call.in("logProb", all.slice(0, 5), 5, AT);
    call.in("reference", all.slice(2, 3), 3, AT);
    call.out("kl", all.slice(5, 5), 5, AT);

    assertThat(struct.getLong(AT)).isEqualTo(all.address() + 20);
  }

  @Test
  void anEmptyViewOverlapsNothing() {
    Floats all = Floats.of(buffer(10));

    call.in("logProb", all, 10, AT);

    assertThatNoException().isThrownBy(() -> call.out("kl", all.slice(5, 0), 0, AT));
  }

  @Test
  void theWorkspaceIsAlignedAndGrows() {
    struct = call.begin(LogProbForwardStruct.SIZE);
    for (long needed : new long[] {1, 1000, 100_000, 50}) {
      struct.putLong(NativeCall.EXEC + ExecStruct.WORKSPACE_NEEDED, needed);
      call.provideWorkspace();

      assertThat(struct.getLong(NativeCall.EXEC + ExecStruct.WORKSPACE) % 64).isZero();
      assertThat(struct.getLong(NativeCall.EXEC + ExecStruct.WORKSPACE_BYTES))
          .isGreaterThanOrEqualTo(needed);
    }
  }

  @Test
  void theMatrixIsDescribedInTheStruct() {
    Matrix logits = Matrix.allocate(DType.BF16, 3, 4);
    struct = call.begin(LogProbForwardStruct.SIZE);

    call.in("logits", logits, LogProbForwardStruct.LOGITS);

    int at = LogProbForwardStruct.LOGITS;
    assertThat(struct.getLong(at + MatrixStruct.DATA)).isEqualTo(logits.address());
    assertThat(struct.getLong(at + MatrixStruct.ROWS)).isEqualTo(3);
    assertThat(struct.getLong(at + MatrixStruct.COLS)).isEqualTo(4);
    assertThat(struct.getLong(at + MatrixStruct.ROW_STRIDE)).isEqualTo(4);
    assertThat(struct.getLong(at + MatrixStruct.OUTER_ROWS)).isEqualTo(1);
    assertThat(struct.getInt(at + MatrixStruct.DTYPE)).isEqualTo(1);
    logits.close();
  }

  @Test
  void threadsDoNotShareACall() throws InterruptedException {
    Set<NativeCall> seen = java.util.Collections.synchronizedSet(new HashSet<>(Set.of(call)));
    Thread other =
        new Thread(
            () -> {
              NativeCall theirs = NativeCall.enter();
              seen.add(theirs);
              theirs.exit();
            });

    other.start();
    other.join();

    assertThat(seen).hasSize(2);
  }

  private static final class CountingOwner implements Owner {
    int writes;

    @Override
    public boolean isAlive() {
      return true;
    }

    @Override
    public void written() {
      writes++;
    }
  }

  @Test
  void ownersHearOfWhatWasWrittenAndOfNothingElse() {
    Floats memory = Floats.allocate(12);
    var read = new CountingOwner();
    var wrote = new CountingOwner();
    var inPlace = new CountingOwner();
    long address = memory.address();
    Matrix logits =
        Matrix.view(address, DType.F32, MatrixLayout.contiguous(1, 4), Placement.CPU, inPlace);
    call.in("logits", logits, AT);
    call.inPlace("gradient", logits, AT);
    call.in("old", Floats.view(address + 16, 4, Placement.CPU, read), 4, AT);
    call.out("kl", Floats.view(address + 32, 4, Placement.CPU, wrote), 4, AT);

    call.completed();

    assertThat(read.writes).isZero();
    assertThat(wrote.writes).isEqualTo(1);
    assertThat(inPlace.writes).isEqualTo(1);
    memory.close();
  }
}
