package dev.polka.train.model;

import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.PointerScope;

/** Who closes a JavaCPP object that was made inside a scope. */
final class Scopes {

  private Scopes() {}

  /** Keeps an object beyond all open scopes: whoever calls this closes it. */
  static <P extends Pointer> P keep(P pointer) {
    pointer.retainReference();
    return pointer;
  }

  /**
   * Moves an object out of the innermost scope into the one around it; without one, the caller
   * closes it.
   */
  static <P extends Pointer> P escape(PointerScope inner, PointerScope outer, P pointer) {
    pointer.retainReference();
    inner.detach(pointer);
    if (outer != null) {
      outer.attach(pointer);
      pointer.releaseReference();
    }
    return pointer;
  }
}
