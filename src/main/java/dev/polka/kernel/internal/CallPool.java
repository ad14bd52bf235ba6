package dev.polka.kernel.internal;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;

/** One call per platform thread for good; for virtual threads a few that they borrow in turn. */
final class CallPool {
  private static final int SHARED = 2 * Runtime.getRuntime().availableProcessors();
  private static final ThreadLocal<NativeCall> OWN = ThreadLocal.withInitial(NativeCall::new);
  private static final Semaphore PERMITS = new Semaphore(SHARED);
  private static final ConcurrentLinkedQueue<NativeCall> IDLE = new ConcurrentLinkedQueue<>();
  private static final MethodHandle IS_VIRTUAL = isVirtual();

  private CallPool() {}

  // Thread.isVirtual came with Java 21.
  private static MethodHandle isVirtual() {
    var type = MethodType.methodType(boolean.class);
    try {
      return MethodHandles.publicLookup().findVirtual(Thread.class, "isVirtual", type);
    } catch (NoSuchMethodException olderJava) {
      return MethodHandles.dropArguments(
          MethodHandles.constant(boolean.class, false), 0, Thread.class);
    } catch (IllegalAccessException impossible) {
      throw new AssertionError("Thread.isVirtual is public", impossible);
    }
  }

  static boolean onVirtualThread() {
    try {
      return (boolean) IS_VIRTUAL.invokeExact(Thread.currentThread());
    } catch (Throwable impossible) {
      throw new AssertionError("Thread.isVirtual throws nothing", impossible);
    }
  }

  static NativeCall take() {
    if (!onVirtualThread()) {
      return OWN.get();
    }
    PERMITS.acquireUninterruptibly();
    NativeCall idle = IDLE.poll();
    return idle == null ? new NativeCall() : idle;
  }

  static void giveBack(NativeCall call) {
    if (onVirtualThread()) {
      IDLE.add(call);
      PERMITS.release();
    }
  }
}
