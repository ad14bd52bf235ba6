import dev.polka.kernel.Backend;
import dev.polka.kernel.GroupAdvantage;
import dev.polka.kernel.Groups;
import dev.polka.memory.Floats;
import java.util.Arrays;

/** Runs a kernel with the two dependencies of pom.xml alone. */
public class Consumer {
  public static void main(String[] arguments) {
    try (Floats rewards = Floats.copyOf(1, 0, 0, 1);
        Floats advantages = GroupAdvantage.drGrpo().forward(rewards, Groups.ofSize(4))) {
      System.out.println(Backend.version() + " " + Arrays.toString(advantages.toArray()));
    }
  }
}
