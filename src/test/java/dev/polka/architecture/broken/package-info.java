/** Code that breaks each of the rules once, so that a test can see them fail. */
package dev.polka.architecture.broken;
