package dev.polka.architecture.broken.kernel.internal.gen;

import org.bytedeco.javacpp.Pointer;

/** Looks like a struct that JavaCPP generated. */
public class broken_args extends Pointer {
  public broken_args() {}

  public broken_args(long size) {}

  public broken_args(Pointer p) {
    super(p);
  }

  public native long field();

  public native broken_args field(long setter);
}
