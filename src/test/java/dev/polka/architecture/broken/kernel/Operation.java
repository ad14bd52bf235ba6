package dev.polka.architecture.broken.kernel;

public final class Operation {}
