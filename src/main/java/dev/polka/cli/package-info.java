/**
 * The {@code polka} command, by picocli. The launcher script at the top of the project sets up what
 * a subcommand needs and starts {@link dev.polka.cli.Main}.
 */
package dev.polka.cli;
