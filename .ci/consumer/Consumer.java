import org.bytedeco.javacpp.Loader;

/** Loads the native library through the two dependencies of pom.xml alone. */
public class Consumer {
  public static void main(String[] arguments) {
    Loader.load(dev.polka.kernel.internal.gen.PolkaNative.class);
    System.out.println("loaded " + dev.polka.kernel.internal.gen.PolkaNative.polka_version().getString());
  }
}
