package dev.polka.train.data;

import dev.polka.train.InputException;
import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/**
 * Problems from files, split by prompt: the distinct prompts are ordered by a hash of their text,
 * and the first go to the held-out parts. So the split depends on the seed and the prompts alone,
 * not on the order of the file, and two lines with the same prompt are never on both sides.
 *
 * <p>Training goes through a part in epochs, each in an order of its own.
 */
public final class FileProblems implements ProblemSource {
  private record Epoch(Split split, long seed, long number) {}

  private static final int EPOCHS_REMEMBERED = 4;

  private final Map<Split, List<Problem>> parts;
  private final Map<Epoch, int[]> orders =
      new LinkedHashMap<>(16, 0.75f, true) {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Epoch, int[]> eldest) {
          return size() > EPOCHS_REMEMBERED;
        }
      };

  private FileProblems(Map<Split, List<Problem>> parts) {
    this.parts = parts;
  }

  /**
   * Splits the problems of one file.
   *
   * @param problems the problems
   * @param shares how much each part gets; a part with a share above 0 gets at least one prompt
   * @param seed chooses which prompts go where
   * @return the source
   * @throws InputException if there are too few distinct prompts for the parts asked for
   */
  public static FileProblems split(List<Problem> problems, SplitShares shares, long seed) {
    Map<String, List<Problem>> byPrompt =
        problems.stream()
            .collect(
                Collectors.groupingBy(Problem::prompt, LinkedHashMap::new, Collectors.toList()));
    RandomKey key = RandomKey.ofSeed(seed).with("split");
    List<String> prompts = new ArrayList<>(byPrompt.keySet());
    Map<String, Long> hashes = new HashMap<>();
    prompts.forEach(prompt -> hashes.put(prompt, key.with(prompt).bits(0)));
    prompts.sort(Comparator.comparing(hashes::get));

    var parts = new EnumMap<Split, List<Problem>>(Split.class);
    int from = 0;
    for (Split split : List.of(Split.TEST, Split.VALIDATION, Split.FRESH)) {
      int to = from + size(share(shares, split), prompts.size());
      parts.put(split, gather(prompts, from, to, byPrompt));
      from = to;
    }
    if (from >= prompts.size()) {
      throw new InputException(
          fileOf(problems)
              + ": has "
              + prompts.size()
              + " distinct prompts; with its held-out parts at least "
              + (from + 1)
              + " are needed");
    }
    parts.put(Split.TRAIN, gather(prompts, from, prompts.size(), byPrompt));
    return new FileProblems(parts);
  }

  /**
   * Takes the test part from a file of its own.
   *
   * @param problems the problems to train and validate on
   * @param test the problems to test on
   * @param shares how much each part gets; the share of the test part is not used
   * @param seed chooses which prompts go where
   * @return the source
   * @throws InputException if there are too few distinct prompts, or a prompt is on both sides
   */
  public static FileProblems split(
      List<Problem> problems, List<Problem> test, SplitShares shares, long seed) {
    Map<String, String> tested = new HashMap<>();
    test.forEach(problem -> tested.putIfAbsent(problem.prompt(), problem.source()));
    for (Problem problem : problems) {
      if (tested.containsKey(problem.prompt())) {
        throw new InputException(
            problem.source()
                + ": has the same prompt as "
                + tested.get(problem.prompt())
                + "; problems that are tested on cannot be trained on");
      }
    }
    var withoutTest = new SplitShares(shares.fresh(), shares.validation(), 0);
    FileProblems source = split(problems, withoutTest, seed);
    source.parts.put(Split.TEST, List.copyOf(test));
    return source;
  }

  /**
   * The problems of one part.
   *
   * @param split the part
   * @return its problems, possibly none
   */
  public List<Problem> all(Split split) {
    return parts.get(split);
  }

  @Override
  public Problem draw(Split split, long seed, long index) {
    if (index < 0) {
      throw new IllegalArgumentException("index is " + index + ", must be at least 0");
    }
    List<Problem> part = parts.get(split);
    if (part.isEmpty()) {
      throw new InputException(
          "the " + split.name().toLowerCase() + " part is empty; give it a share above 0");
    }
    int[] order = order(new Epoch(split, seed, index / part.size()), part.size());
    return part.get(order[(int) (index % part.size())]);
  }

  @Override
  public List<Problem> heldOut(Split split, int count) {
    List<Problem> distinct =
        List.copyOf(
            parts.get(split).stream()
                .collect(Collectors.toMap(Problem::prompt, p -> p, (a, b) -> a, LinkedHashMap::new))
                .values());
    if (distinct.size() < count) {
      throw new InputException(
          "evaluation asks for "
              + count
              + " distinct "
              + split.name().toLowerCase()
              + " problems, the data has "
              + distinct.size());
    }
    return distinct.subList(0, count);
  }

  private int[] order(Epoch epoch, int size) {
    synchronized (orders) {
      return orders.computeIfAbsent(epoch, e -> shuffled(e, size));
    }
  }

  private static int[] shuffled(Epoch epoch, int size) {
    RandomKey key =
        RandomKey.ofSeed(epoch.seed).with("epoch").with(epoch.split.name()).with(epoch.number);
    int[] order = IntStream.range(0, size).toArray();
    for (int i = size - 1; i > 0; i--) {
      int j = (int) key.below(i, i + 1);
      int swap = order[i];
      order[i] = order[j];
      order[j] = swap;
    }
    return order;
  }

  private static List<Problem> gather(
      List<String> prompts, int from, int to, Map<String, List<Problem>> byPrompt) {
    if (to > prompts.size()) {
      return List.of(); // too few prompts: split() reports it once it knows how many are needed
    }
    return prompts.subList(from, to).stream()
        .flatMap(prompt -> byPrompt.get(prompt).stream())
        .toList();
  }

  private static int size(double share, int prompts) {
    return share == 0 ? 0 : (int) Math.max(1, Math.round(share * prompts));
  }

  private static double share(SplitShares shares, Split split) {
    return switch (split) {
      case TEST -> shares.test();
      case VALIDATION -> shares.validation();
      case FRESH -> shares.fresh();
      case TRAIN -> 1 - shares.test() - shares.validation() - shares.fresh();
    };
  }

  private static String fileOf(List<Problem> problems) {
    String source = problems.get(0).source();
    int colon = source.lastIndexOf(':');
    return colon < 0 ? source : source.substring(0, colon);
  }
}
