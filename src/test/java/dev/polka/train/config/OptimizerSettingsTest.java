package dev.polka.train.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.polka.train.config.OptimizerSettings.Schedule;
import org.junit.jupiter.api.Test;

class OptimizerSettingsTest {
  private static OptimizerSettings scheduled(Schedule schedule) {
    return new OptimizerSettings(1e-3, 4, schedule, 0.1, 0.9, 0.999, 1e-8, 0.1, 1);
  }

  @Test
  void warmUpRisesInAStraightLineToTheHighestRate() {
    for (Schedule schedule : Schedule.values()) {
      assertThat(scheduled(schedule).learningRateAt(0, 20)).isEqualTo(0.25e-3);
      assertThat(scheduled(schedule).learningRateAt(3, 20)).isEqualTo(1e-3);
    }
  }

  @Test
  void rateEndsWhereTheScheduleSays() {
    assertThat(scheduled(Schedule.CONSTANT).learningRateAt(19, 20)).isEqualTo(1e-3);
    assertThat(scheduled(Schedule.LINEAR).learningRateAt(19, 20)).isCloseTo(1e-4, within(1e-12));
    assertThat(scheduled(Schedule.COSINE).learningRateAt(19, 20)).isCloseTo(1e-4, within(1e-12));
  }

  @Test
  void linearAndCosineAreHalfWayDownInTheMiddle() {
    double middle = (1e-3 + 1e-4) / 2;
    assertThat(scheduled(Schedule.LINEAR).learningRateAt(12, 21)).isCloseTo(middle, within(1e-12));
    assertThat(scheduled(Schedule.COSINE).learningRateAt(12, 21)).isCloseTo(middle, within(1e-12));
  }

  @Test
  void shortStagesStayWithinTheRange() {
    for (Schedule schedule : Schedule.values()) {
      for (long updates = 1; updates < 8; updates++) {
        for (long update = 0; update < updates; update++) {
          assertThat(scheduled(schedule).learningRateAt(update, updates)).isBetween(1e-4, 1e-3);
        }
      }
    }
  }
}
