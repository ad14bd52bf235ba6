package dev.polka.architecture.broken.train;

import dev.polka.architecture.broken.cli.Command;
import dev.polka.architecture.broken.kernel.internal.gen.broken_args;

public final class Trainer {
  Command command;
  broken_args args;
}
