package dev.polka.kernel;

import static dev.polka.reference.ReferenceSoftmax.PLAIN;
import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Matrix;
import dev.polka.reference.Noise;
import dev.polka.reference.ReferenceSoftmax;
import dev.polka.reference.SameBits;
import dev.polka.reference.Storage;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Values and gradients of log_prob against the f64 reference, over shapes, types and options. */
class LogProbAccuracyTest {
  private static final float[] TEMPERATURES = {0.7f, 1, 2};

  static Stream<Arguments> shapes() {
    return Stream.of(1, 2, 3, 16, 17, 63, 64, 65, 1000, 4095, 4096, 4097, 8193)
        .flatMap(v -> Stream.of(Storage.values()).map(s -> Arguments.of(v, s)));
  }

  /** Targets: the largest logit, the last column, then anywhere. */
  static long[] targets(Logits logits) {
    long[] targets = Noise.of(77).indices(logits.rows(), logits.cols());
    targets[0] = logits.argMax(0);
    targets[targets.length - 1] = logits.cols() - 1;
    return targets;
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void everyVocabularySizeAndTypeMeetsTheBar(int vocabulary, Storage storage) {
    for (float temperature : TEMPERATURES) {
      Logits logits = Logits.normal(storage, 5, vocabulary, 3, 0, 11 + vocabulary);
      LogProbCase c = LogProbCase.of(logits, ReferenceSoftmax.at(temperature), targets(logits));
      c.assertForward();
      c.assertBackward();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {50257, 151936})
  void largeVocabulariesMeetTheBar(int vocabulary) {
    for (float temperature : TEMPERATURES) {
      Logits logits = Logits.normal(3, vocabulary, vocabulary);
      LogProbCase c = LogProbCase.of(logits, ReferenceSoftmax.at(temperature), targets(logits));
      c.assertForward();
      c.assertBackward();
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void paddedRowsAreReadByTheirStride(Storage storage) {
    Logits logits = Logits.normal(storage, 4, 50257, 3, 0, 5);
    LogProbCase c = LogProbCase.of(logits, ReferenceSoftmax.at(0.7f), targets(logits));
    try (Logits.Padded padded = logits.padded(50304)) {
      c.assertForward(c.forward(padded.view()));
      SameBits.assertSame(
          "gradient",
          c.backward(padded.view(), new float[] {1, 2, 3, 4}, null, null),
          c.backward(new float[] {1, 2, 3, 4}, null, null));
    }
  }

  @ParameterizedTest
  @EnumSource(Storage.class)
  void softcapKeepMaskAndValidVocabMeetTheBar(Storage storage) {
    Logits logits = Logits.normal(storage, 6, 5003, 6, 0, 6);
    boolean[] keep = Noise.of(8).booleans(5003, 0.4);
    for (ReferenceSoftmax softmax :
        new ReferenceSoftmax[] {
          ReferenceSoftmax.at(0.7f).withSoftcap(30),
          ReferenceSoftmax.at(1).withSoftcap(5),
          ReferenceSoftmax.at(2).withKeep(keep),
          ReferenceSoftmax.at(1).withValidVocab(4099),
          ReferenceSoftmax.at(0.9f).withSoftcap(12).withKeep(keep).withValidVocab(5001)
        }) {
      LogProbCase c = LogProbCase.of(logits, softmax, Noise.of(9).indices(6, 4099));
      c.assertForward();
      c.assertBackward();
    }
  }

  @Test
  void eachRowCanHaveItsOwnTemperature() {
    Logits logits = Logits.normal(4, 3001, 10);
    LogProbCase c =
        LogProbCase.of(logits, PLAIN, targets(logits)).withRowTemperature(0.5f, 1, 1.3f, 4);
    c.assertForward();
    c.assertBackward();
  }

  @Test
  void skippedRowsGiveZerosInEveryOutput() {
    Logits logits = Logits.normal(5, 301, 12);
    LogProbCase c =
        LogProbCase.of(logits, PLAIN, 3, -100, 7, -100, 300)
            .withMask(true, true, false, false, true);
    c.assertForward();
    c.assertBackward();
    float[][] gradient = logits.split(c.backward(new float[] {1, 1, 1, 1, 1}, null, null));
    for (int skipped : new int[] {1, 2, 3}) {
      assertThat(gradient[skipped]).containsOnly(0);
    }
  }

  @Test
  void twoLevelRowsAreReadInPlace() {
    Logits logits = Logits.normal(6, 37, 13);
    LogProbCase inner = LogProbCase.of(logits.rows(0, 1, 3, 4), PLAIN, 1, 2, 3, 4);
    try (Matrix memory = logits.matrix()) {
      Matrix view =
          Matrix.ofAddress(
              memory.address(),
              memory.span() * 4,
              logits.dtype(),
              dev.polka.memory.MatrixLayout.blocks(2, 2, 37, 37, 111));
      inner.assertForward(inner.forward(view));
    }
  }
}
