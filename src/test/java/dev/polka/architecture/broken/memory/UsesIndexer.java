package dev.polka.architecture.broken.memory;

import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.indexer.FloatIndexer;

final class UsesIndexer {
  FloatIndexer indexer(FloatPointer pointer) {
    return FloatIndexer.create(pointer);
  }
}
