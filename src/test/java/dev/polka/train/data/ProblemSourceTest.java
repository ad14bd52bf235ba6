package dev.polka.train.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.InputException;
import dev.polka.train.RandomKey;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ProblemSourceTest {
  private static final SplitShares SHARES = new SplitShares(0.2, 0.1, 0.1);

  private static long[] operands(Problem problem) {
    String[] parts = problem.prompt().replace("=", "").split("\\+");
    return new long[] {Long.parseLong(parts[0]), Long.parseLong(parts[1])};
  }

  private static List<Problem> lines(int count) {
    return IntStream.rangeClosed(1, count)
        .mapToObj(i -> new Problem("p" + i, "a" + i, "a" + i, "file.jsonl:" + i))
        .toList();
  }

  @Test
  void answerIsTheSumBackwards() {
    Problem problem = ArithmeticTask.twoDigitAddition().problem(47, 38);
    assertThat(problem.prompt()).isEqualTo("47+38=");
    assertThat(problem.answer()).isEqualTo("58");
    Problem padded = new ArithmeticTask(1, 2, 0, true, true).problem(7, 30);
    assertThat(padded.prompt()).isEqualTo("07+30=");
    assertThat(padded.answer()).isEqualTo("730");
    Problem forwards = new ArithmeticTask(1, 2, 0, false, false).problem(7, 30);
    assertThat(forwards.answer()).isEqualTo("37");
  }

  @Test
  void generatedProblemsAreRightAndDependOnNothingButTheirPosition() {
    var problems = new ArithmeticProblems(ArithmeticTask.twoDigitAddition(), SHARES, 0);
    for (long index : new long[] {0, 1, 17, 1L << 40}) {
      Problem problem = problems.draw(Split.TRAIN, 3, index);
      long[] ab = operands(problem);
      String sum = new StringBuilder(problem.answer()).reverse().toString();
      assertThat(Long.parseLong(sum)).isEqualTo(ab[0] + ab[1]);
      assertThat(problems.draw(Split.TRAIN, 3, index)).isEqualTo(problem);
    }
    assertThat(problems.draw(Split.TRAIN, 4, 0)).isNotEqualTo(problems.draw(Split.TRAIN, 3, 0));
  }

  @Test
  void generatedPartsAreDisjointWhicheverOperandComesFirst() {
    var problems = new ArithmeticProblems(ArithmeticTask.twoDigitAddition(), SHARES, 0);
    Map<Split, Set<Set<Long>>> pairs = new EnumMap<>(Split.class);
    for (Split split : Split.values()) {
      pairs.put(split, new HashSet<>());
      for (long index = 0; index < 5_000; index++) {
        long[] ab = operands(problems.draw(split, 1, index));
        pairs.get(split).add(new HashSet<>(List.of(ab[0], ab[1])));
      }
    }
    for (Split one : Split.values()) {
      for (Split other : Split.values()) {
        if (one != other) {
          assertThat(Collections.disjoint(pairs.get(one), pairs.get(other))).isTrue();
        }
      }
    }
    // 90 * 91 / 2 pairs of two-digit numbers, and 5,000 draws reach nearly all of a tenth of them.
    assertThat(pairs.get(Split.TEST).size()).isBetween(340, 480);
  }

  @Test
  void carryFreeShareAndDigitCountsAreAsAsked() {
    var task = new ArithmeticTask(1, 3, 0.7, false, true);
    var problems = new ArithmeticProblems(task, SHARES, 0);
    int carryFree = 0;
    int[] lengths = new int[4];
    for (long index = 0; index < 4_000; index++) {
      long[] ab = operands(problems.draw(Split.TRAIN, 1, index));
      carryFree += digitSum(ab[0]) + digitSum(ab[1]) == digitSum(ab[0] + ab[1]) ? 1 : 0;
      lengths[Long.toString(ab[0]).length()]++;
    }
    assertThat(carryFree / 4_000.0).isBetween(0.75, 0.90);
    assertThat(lengths[1]).isBetween(1_150, 1_900);
    assertThat(lengths[3]).isBetween(900, 1_500);
  }

  private static int digitSum(long number) {
    return Long.toString(number).chars().map(c -> c - '0').sum();
  }

  @Test
  void heldOutProblemsAreDistinctAndTooManyAreRefused() {
    var problems = new ArithmeticProblems(ArithmeticTask.twoDigitAddition(), SHARES, 0);
    List<Problem> test = problems.heldOut(Split.TEST, 500);
    assertThat(test).hasSize(500).doesNotHaveDuplicates();
    assertThat(problems.heldOut(Split.TEST, 100)).isEqualTo(test.subList(0, 100));
    assertThatThrownBy(() -> problems.heldOut(Split.TEST, 5_000))
        .isInstanceOf(InputException.class)
        .hasMessageContaining("asks for 5000 distinct test problems")
        .hasMessageContaining("2 to 2 digits give about ");
  }

  @Test
  void emptyGeneratedPartIsNamed() {
    var problems =
        new ArithmeticProblems(ArithmeticTask.twoDigitAddition(), new SplitShares(0, 0.1, 0.1), 0);
    assertThatThrownBy(() -> problems.draw(Split.FRESH, 0, 0))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith("no fresh problem of 2 to 2 digits found");
  }

  @Test
  void filePartsAreDisjointCompleteAndIndependentOfLineOrder() {
    List<Problem> lines = lines(100);
    List<Problem> shuffled = new ArrayList<>(lines);
    Collections.shuffle(shuffled, new Random(1));
    FileProblems problems = FileProblems.split(lines, SHARES, 5);
    FileProblems again = FileProblems.split(shuffled, SHARES, 5);
    var all = new ArrayList<Problem>();
    for (Split split : Split.values()) {
      all.addAll(problems.all(split));
      assertThat(again.all(split)).isEqualTo(problems.all(split));
    }
    assertThat(all).containsExactlyInAnyOrderElementsOf(lines);
    assertThat(problems.all(Split.TEST)).hasSize(10);
    assertThat(problems.all(Split.TRAIN)).hasSize(60);
    assertThat(FileProblems.split(lines, SHARES, 6).all(Split.TEST))
        .isNotEqualTo(problems.all(Split.TEST));
  }

  @Test
  void linesWithTheSamePromptStayTogether() {
    List<Problem> lines = new ArrayList<>(lines(30));
    lines(30).forEach(p -> lines.add(new Problem(p.prompt(), "other", "other", "b:1")));
    FileProblems problems = FileProblems.split(lines, SHARES, 5);
    Set<String> seen = new HashSet<>();
    for (Split split : Split.values()) {
      Set<String> prompts = new HashSet<>();
      problems.all(split).forEach(problem -> prompts.add(problem.prompt()));
      assertThat(problems.all(split)).hasSize(2 * prompts.size());
      assertThat(Collections.disjoint(seen, prompts)).isTrue();
      seen.addAll(prompts);
    }
  }

  @Test
  void everyEpochVisitsEveryProblemOnceInAnOrderOfItsOwn() {
    FileProblems problems = FileProblems.split(lines(20), SHARES, 5);
    int size = problems.all(Split.TRAIN).size();
    List<List<Problem>> epochs = new ArrayList<>();
    for (int epoch = 0; epoch < 3; epoch++) {
      var visited = new ArrayList<Problem>();
      for (int i = 0; i < size; i++) {
        visited.add(problems.draw(Split.TRAIN, 8, (long) epoch * size + i));
      }
      assertThat(visited).containsExactlyInAnyOrderElementsOf(problems.all(Split.TRAIN));
      epochs.add(visited);
    }
    assertThat(epochs).doesNotHaveDuplicates();
  }

  @Test
  void tooFewPromptsAndLeakedPromptsAreRefused() {
    assertThatThrownBy(() -> FileProblems.split(lines(3), SHARES, 0))
        .isInstanceOf(InputException.class)
        .hasMessage(
            "file.jsonl: has 3 distinct prompts; with its held-out parts at least 4 are needed");
    assertThatThrownBy(() -> FileProblems.split(lines(10), lines(1), SHARES, 0))
        .isInstanceOf(InputException.class)
        .hasMessageStartingWith("file.jsonl:1: has the same prompt as file.jsonl:1; ");
    assertThatThrownBy(() -> FileProblems.split(lines(10), SHARES, 0).heldOut(Split.TEST, 2))
        .isInstanceOf(InputException.class)
        .hasMessage("evaluation asks for 2 distinct test problems, the data has 1");
  }

  @Test
  void digitNoiseReplacesTheShareAskedForAndNothingElse() {
    var noise = new DigitNoise(0.25);
    String text = "12+34=".repeat(5_000);
    String noisy = noise.apply(text, RandomKey.ofSeed(1));
    assertThat(noisy).hasSameSizeAs(text).isEqualTo(noise.apply(text, RandomKey.ofSeed(1)));
    int changed = 0;
    for (int i = 0; i < text.length(); i++) {
      boolean digit = Character.isDigit(text.charAt(i));
      assertThat(Character.isDigit(noisy.charAt(i))).isEqualTo(digit);
      changed += noisy.charAt(i) == text.charAt(i) ? 0 : 1;
    }
    assertThat(changed / 20_000.0).isCloseTo(0.25, within(0.012));
    assertThat(new DigitNoise(0).apply(text, RandomKey.ofSeed(1))).isEqualTo(text);
  }
}
