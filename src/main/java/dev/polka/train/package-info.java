/**
 * The trainer: what its parts share. Data ({@code train.data}), configuration ({@code
 * train.config}), checkpoints ({@code train.checkpoint}) and reports ({@code train.report}) need
 * neither libtorch nor Polka's native library.
 */
package dev.polka.train;
