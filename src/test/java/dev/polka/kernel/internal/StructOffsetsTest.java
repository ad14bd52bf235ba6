package dev.polka.kernel.internal;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.kernel.internal.gen.*;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class StructOffsetsTest {
  @BeforeAll
  static void load() {
    NativeLibrary.load();
  }

  static Stream<Arguments> structs() {
    return Stream.of(
        Arguments.of(ExecStruct.class, polka_exec.class),
        Arguments.of(MatrixStruct.class, polka_matrix.class),
        Arguments.of(TargetsStruct.class, polka_targets.class),
        Arguments.of(SoftmaxStruct.class, polka_softmax.class),
        Arguments.of(NormalizerStruct.class, polka_normalizer.class),
        Arguments.of(LogProbForwardStruct.class, polka_log_prob_forward_args.class),
        Arguments.of(LogProbBackwardStruct.class, polka_log_prob_backward_args.class),
        Arguments.of(TokenKlStruct.class, polka_token_kl_args.class),
        Arguments.of(DivergenceStruct.class, polka_divergence_args.class),
        Arguments.of(TopkDivergenceStruct.class, polka_topk_divergence_args.class),
        Arguments.of(VocabLogProbStruct.class, polka_vocab_log_prob_args.class),
        Arguments.of(VocabDivergenceStruct.class, polka_vocab_divergence_args.class),
        Arguments.of(GroupAdvantageStruct.class, polka_group_advantage_args.class),
        Arguments.of(TokenReturnsStruct.class, polka_token_returns_args.class),
        Arguments.of(SegmentStruct.class, polka_segment_args.class),
        Arguments.of(ValueLossStruct.class, polka_value_loss_args.class),
        Arguments.of(ValueLossMetricsStruct.class, polka_value_loss_metrics.class),
        Arguments.of(PreferenceLossStruct.class, polka_preference_loss_args.class),
        Arguments.of(PreferenceLossMetricsStruct.class, polka_preference_loss_metrics.class),
        Arguments.of(PolicyObjectiveStruct.class, polka_policy_objective.class),
        Arguments.of(TokenBatchStruct.class, polka_token_batch.class),
        Arguments.of(PolicyLossMetricsStruct.class, polka_policy_loss_metrics.class),
        Arguments.of(PolicyLossStruct.class, polka_policy_loss_args.class));
  }

  @ParameterizedTest
  @MethodSource("structs")
  void everyOffsetIsTheCompilersOwn(Class<?> struct, Class<? extends Pointer> generated)
      throws ReflectiveOperationException {
    Map<String, Integer> written = new TreeMap<>();
    for (Field field : struct.getDeclaredFields()) {
      written.put(field.getName().toLowerCase(Locale.ROOT), field.getInt(null));
    }

    Map<String, Integer> compiled = new TreeMap<>();
    compiled.put("size", Loader.sizeof(generated));
    for (Method method : generated.getDeclaredMethods()) {
      if (Modifier.isNative(method.getModifiers())
          && Modifier.isPublic(method.getModifiers())
          && method.getParameterCount() == 0) {
        compiled.put(method.getName(), Loader.offsetof(generated, method.getName()));
      }
    }

    assertThat(written).isEqualTo(compiled);
  }

  @ParameterizedTest
  @MethodSource("structs")
  void everyStructFitsTheBuffer(Class<?> struct, Class<? extends Pointer> generated) {
    assertThat(Loader.sizeof(generated)).isLessThanOrEqualTo(NativeCall.BUFFER_BYTES);
  }

  @ParameterizedTest
  @MethodSource("structs")
  void everyCallFindsItsExecAtTheSamePlace(Class<?> struct, Class<? extends Pointer> generated)
      throws ReflectiveOperationException {
    boolean isCall =
        Arrays.stream(struct.getDeclaredFields()).anyMatch(f -> f.getName().equals("STRUCT_SIZE"));

    assertThat(isCall).isEqualTo(generated.getSimpleName().endsWith("_args"));
    if (isCall) {
      assertThat(struct.getDeclaredField("EXEC").getInt(null)).isEqualTo(NativeCall.EXEC);
      assertThat(struct.getDeclaredField("STRUCT_SIZE").getInt(null)).isZero();
    }
  }
}
