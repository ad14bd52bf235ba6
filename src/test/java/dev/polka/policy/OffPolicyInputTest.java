package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.polka.kernel.TokenLayout;
import dev.polka.policy.Rejection.Scope;
import org.junit.jupiter.api.Test;

class OffPolicyInputTest {
  private static final OffPolicyCorrection NONE = OffPolicyCorrection.none();

  @Test
  void badInputIsNamed() {
    assertThatThrownBy(
            () -> NONE.apply(TokenLayout.ofLengths(2), new double[] {0, Double.NaN}, new double[2]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("old: row 1 is NaN, not a log-prob");
    assertThatThrownBy(
            () ->
                NONE.apply(
                    TokenLayout.ofLengths(1),
                    new double[1],
                    new double[] {Double.NEGATIVE_INFINITY}))
        .hasMessage("rollout: row 0 is -Infinity, but it was sampled");
    assertThatThrownBy(() -> NONE.withVeto(2, 1)).hasMessage("veto: [2.0, 1.0] is empty");
    assertThatThrownBy(() -> Rejection.ofRatio(Scope.SEQUENCE_MAX, 0, 1))
        .hasMessage("scope: SEQUENCE_MAX tests an estimate, not a ratio");
    assertThatThrownBy(() -> ImportanceWeight.truncatedTokens(Double.NaN))
        .hasMessage("weight: [0.0, NaN] is empty");
    assertThatThrownBy(() -> NONE.withSecondMoment(0))
        .hasMessage("secondMoment: 0.0 is not finite and > 0");
  }
}
