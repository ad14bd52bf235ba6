/** Why a native library did not load, and what the C library of this machine is. Not for users. */
package dev.polka.memory.internal;
