package dev.polka.train.data;

import dev.polka.train.InputException;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import java.util.stream.Stream;

/**
 * Scores a response: the sparse reward.
 *
 * <p>Built in: {@code exact} ({@link ExactMatch}), {@code numeric} and {@code numeric-last} ({@link
 * NumericEquality}). Any other class takes part by the service loader: it implements this
 * interface, has a public constructor without arguments, and is named in {@code
 * META-INF/services/dev.polka.train.data.Verifier} on the class path; the configuration then refers
 * to it by its {@link #name()}.
 *
 * <p>Implementations are called from several threads at once, and must give the same score for the
 * same arguments, or runs are not reproducible.
 */
public interface Verifier {
  /**
   * The name by which the configuration refers to this verifier.
   *
   * @return a short word, such as {@code exact}
   */
  String name();

  /**
   * Scores one response.
   *
   * @param problem the problem with its reference answer
   * @param response what the model wrote, without prompt and end-of-sequence token; may be empty
   * @return the reward: 1 for right, 0 for wrong; values between are allowed. Anything else, or an
   *     exception, ends the run
   */
  double score(Problem problem, String response);

  /**
   * Finds a verifier by its name.
   *
   * @param name the name
   * @return the verifier
   * @throws InputException if no verifier or more than one has the name, or a class named by a
   *     service file cannot be loaded
   */
  static Verifier named(String name) {
    List<Verifier> all = all();
    List<Verifier> found = all.stream().filter(v -> v.name().equals(name)).toList();
    if (found.isEmpty()) {
      throw new InputException(
          "no verifier is named '"
              + name
              + "'; there are "
              + all.stream().map(Verifier::name).toList());
    }
    if (found.size() > 1) {
      throw new InputException(
          "several verifiers are named '"
              + name
              + "': "
              + found.stream().map(v -> v.getClass().getName()).toList());
    }
    return found.get(0);
  }

  private static List<Verifier> all() {
    var all =
        new ArrayList<Verifier>(
            Stream.of(new ExactMatch(), NumericEquality.marked(), NumericEquality.lastNumber())
                .toList());
    try {
      ServiceLoader.load(Verifier.class).forEach(all::add);
    } catch (ServiceConfigurationError e) {
      throw new InputException("a verifier cannot be loaded: " + e.getMessage(), e);
    }
    return all;
  }
}
