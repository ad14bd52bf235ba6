package dev.polka.architecture.broken.memory;

import dev.polka.architecture.broken.kernel.Operation;

final class ReachesUp {
  Operation operation;
}
