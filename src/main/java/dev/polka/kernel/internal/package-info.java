/** The JavaCPP binding of {@code polka.h} and what surrounds one call through it. Not for users. */
package dev.polka.kernel.internal;
