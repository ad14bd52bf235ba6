package dev.polka.train.stage;

import static org.assertj.core.api.Assertions.assertThat;

import dev.polka.memory.Floats;
import dev.polka.train.checkpoint.RunDirectory;
import dev.polka.train.config.OnPolicyDistillation;
import dev.polka.train.config.Pipeline;
import dev.polka.train.job.TaskPreparation;
import dev.polka.train.job.TrainingJob;
import dev.polka.train.report.StepTimer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.bytedeco.javacpp.LongPointer;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReplayTest {
  private static final int STEPS = 3;

  @TempDir Path folder;

  @Test
  void aReplayMeetsThePromptsOfTheStageItRepeatsAndDrawsAnew() throws IOException {
    Pipeline pipeline =
        TinyRun.of(
                """
                name: tiny
                seeds: [7]
                data: {arithmetic: {minDigits: 1, maxDigits: 2}}
                models:
                  teacher: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
                  student: {width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 32}
                evaluation: {problems: 20}
                stages:
                  - {name: bridge, kind: on-policy-distillation, from: student, teachers: [teacher], steps: 3, rollouts: {prompts: 8}}
                  - {name: again, kind: replay, from: student, repeats: bridge, steps: 5}
                  - {name: more, kind: on-policy-distillation, from: student, teachers: [teacher], steps: 3, rollouts: {prompts: 8}}
                arms: [{name: x, result: again}, {name: y, result: more}]
                """)
            .pipeline();
    try (RunDirectory directory = RunDirectory.begin(folder, pipeline)) {
      var task = TaskPreparation.of(pipeline, Path.of("")).task();
      Workshop workshop =
          Workshop.of(new TrainingJob(pipeline, task, directory, false, null, null));

      List<Seen> bridge = seen(workshop, "bridge", STEPS);
      List<Seen> again = seen(workshop, "again", STEPS + 2);
      for (int k = 0; k < again.size(); k++) {
        assertThat(again.get(k).prompts).isEqualTo(bridge.get(k % STEPS).prompts);
        assertThat(again.get(k).texts).isNotEqualTo(bridge.get(k % STEPS).texts);
      }
      assertThat(seen(workshop, "more", 1).get(0).prompts).isNotEqualTo(bridge.get(0).prompts);
    }
  }

  /** The texts of a step, and what stands before their equals sign. */
  private record Seen(TreeSet<String> prompts, TreeSet<String> texts) {}

  private static List<Seen> seen(Workshop workshop, String stage, int steps) throws IOException {
    List<Seen> seen = new ArrayList<>();
    try (StageTraining training =
        new StageTraining(
            workshop,
            7,
            workshop.pipeline().stage(stage),
            timer -> new Reading(timer, workshop, seen))) {
      for (int k = 0; k < steps; k++) {
        seen.add(new Seen(new TreeSet<>(), new TreeSet<>()));
        training.step(k, StepTimer.start());
      }
    }
    return seen;
  }

  /** Notes what a divergence is computed on. */
  private record Reading(Losses losses, Workshop workshop, List<Seen> seen) implements Losses {
    Reading(StepTimer timer, Workshop workshop, List<Seen> seen) {
      this(new PolkaLosses(timer), workshop, seen);
    }

    @Override
    public LossSums divergence(
        MicroBatch batch,
        Tensor logits,
        OnPolicyDistillation.Divergence kind,
        double beta,
        double temperature,
        Tensor teacherLogits,
        Floats weight,
        long tokens) {
      try (PointerScope scope = new PointerScope()) {
        Tensor read = batch.layout().tokens();
        long[] ids = new long[(int) read.numel()];
        LongPointer data = read.data_ptr_long();
        data.get(ids);
        int length = ids.length / batch.size();
        for (int s = 0; s < batch.size(); s++) {
          int[] own = new int[length];
          for (int t = 0; t < length; t++) {
            own[t] = (int) ids[s * length + t];
          }
          String text = workshop.task().tokenizer().decode(own);
          Seen step = seen.get(seen.size() - 1);
          step.texts.add(text);
          step.prompts.add(text.substring(0, text.indexOf('=')));
        }
      }
      return losses.divergence(
          batch, logits, kind, beta, temperature, teacherLogits, weight, tokens);
    }

    @Override
    public LossSums crossEntropy(MicroBatch batch, Tensor logits, long tokens) {
      throw new UnsupportedOperationException();
    }

    @Override
    public LossSums policy(MicroBatch batch, Tensor logits, PolicyTerms terms) {
      throw new UnsupportedOperationException();
    }

    @Override
    public LossSums sampledToken(
        MicroBatch batch,
        Tensor logits,
        double temperature,
        Floats target,
        Floats old,
        double importanceClip,
        long tokens) {
      throw new UnsupportedOperationException();
    }
  }
}
