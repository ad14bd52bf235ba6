package dev.polka.architecture.broken.cli;

public final class Command {}
