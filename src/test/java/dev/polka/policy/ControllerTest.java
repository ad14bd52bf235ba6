package dev.polka.policy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import org.junit.jupiter.api.Test;

class ControllerTest {
  @Test
  void aFixedCoefficientStays() {
    KlController fixed = KlController.fixed(0.05);

    assertThat(fixed.next(100, 1000).coefficient()).isEqualTo(0.05);
  }

  @Test
  void anAdaptiveCoefficientFollowsTheErrorHeldAtAFifth() {
    KlController controller = KlController.adaptive(0.1, 0.1, 1000);

    assertThat(controller.next(0.11, 500).coefficient()).isCloseTo(0.105, within(1e-15));
    assertThat(controller.next(9, 500).coefficient()).isCloseTo(0.11, within(1e-15));
    assertThat(controller.next(0, 500).coefficient()).isCloseTo(0.09, within(1e-15));
    assertThat(controller.next(0.1, 500).coefficient()).isEqualTo(0.1);
    assertThat(controller.coefficient()).isEqualTo(0.1);
  }

  @Test
  void anAdaptiveCoefficientNeverTurnsNegative() {
    assertThat(KlController.adaptive(0.1, 0.1, 10).next(0, 1000).coefficient()).isZero();
  }

  @Test
  void theEntropyCoefficientMovesTowardsItsTargetWithinItsBounds() {
    EntropyController controller = EntropyController.adaptive(0.003, 0.2);

    assertThat(controller.next(0.1).coefficient()).isCloseTo(0.008, within(1e-15));
    assertThat(controller.next(0.3).coefficient()).isZero();
    assertThat(controller.next(0.2).coefficient()).isEqualTo(0.003);
    assertThat(EntropyController.adaptive(1, 0.2).next(0).coefficient()).isEqualTo(1);
  }

  @Test
  void theEntropyBonusAppliesUpToItsTarget() {
    EntropyController controller = EntropyController.adaptive(0.5, 0.2);

    assertThat(controller.applied(0.2)).isEqualTo(0.5);
    assertThat(controller.applied(0.2001)).isZero();
  }

  @Test
  void whatIsNotANumberIsRefused() {
    assertThatThrownBy(() -> EntropyController.adaptive(0.5, 0.2).next(Double.NaN))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("entropy: NaN is not finite");
    assertThatThrownBy(() -> EntropyController.adaptive(2, 0.2))
        .hasMessage("coefficient: 2.0 is outside [0.0, 1.0]");
    assertThatThrownBy(() -> KlController.adaptive(0.1, 0, 10))
        .hasMessage("target: 0.0 is not finite and > 0");
    assertThatThrownBy(() -> KlController.fixed(1).next(Double.NaN, 1))
        .hasMessage("kl: NaN is not finite");
  }
}
