package dev.polka.architecture;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.classes;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaAccess;
import com.tngtech.archunit.core.domain.JavaConstructorCall;
import com.tngtech.archunit.core.domain.JavaMethodCall;
import com.tngtech.archunit.core.domain.properties.HasOwner;
import com.tngtech.archunit.lang.ArchRule;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;

/**
 * The rules that hold the packages below a root apart: {@code memory <- kernel <- torch, policy,
 * distill, reward, metric <- train <- cli}, and what may be used where.
 */
record Arrows(String root) {
  private static final String[] SIBLINGS = {"torch", "policy", "distill", "reward", "metric"};
  private static final String JAVA = "java..";
  private static final String JAVACPP = "org.bytedeco.javacpp..";
  private static final String LIBTORCH = "org.bytedeco.pytorch..";

  private String in(String name) {
    return root + "." + name + "..";
  }

  private String[] in(String... names) {
    return Stream.of(names).map(this::in).toArray(String[]::new);
  }

  ArchRule memoryNeedsJavaCppAlone() {
    return classes()
        .that()
        .resideInAPackage(in("memory"))
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(JAVA, JAVACPP, in("memory"))
        .allowEmptyShould(true);
  }

  ArchRule kernelNeedsMemoryAndJavaCppAlone() {
    return classes()
        .that()
        .resideInAPackage(in("kernel"))
        .should()
        .onlyDependOnClassesThat()
        .resideInAnyPackage(JAVA, JAVACPP, in("memory"), in("kernel"))
        .allowEmptyShould(true);
  }

  /** Packages of one level do not know each other. */
  ArchRule siblingsAreStrangers(String sibling) {
    String[] others =
        Stream.of(SIBLINGS).filter(name -> !name.equals(sibling)).toArray(String[]::new);
    return noClasses()
        .that()
        .resideInAPackage(in(sibling))
        .should()
        .dependOnClassesThat()
        .resideInAnyPackage(in(others))
        .allowEmptyShould(true);
  }

  Stream<ArchRule> siblingsAreStrangers() {
    return Stream.of(SIBLINGS).map(this::siblingsAreStrangers);
  }

  ArchRule onlyCliKnowsTrain() {
    return noClasses()
        .that()
        .resideInAnyPackage(
            in("memory", "kernel", "torch", "policy", "distill", "reward", "metric"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage(in("train"))
        .allowEmptyShould(true);
  }

  ArchRule nobodyKnowsCli() {
    return noClasses()
        .that()
        .resideInAPackage(root + "..")
        .and()
        .resideOutsideOfPackage(in("cli"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage(in("cli"))
        .allowEmptyShould(true);
  }

  ArchRule libtorchStaysInTorchTrainAndCli() {
    return noClasses()
        .that()
        .resideInAPackage(root + "..")
        .and()
        .resideOutsideOfPackages(in("torch", "train", "cli"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage(LIBTORCH)
        .allowEmptyShould(true);
  }

  ArchRule generatedCodeStaysInKernel() {
    return noClasses()
        .that()
        .resideInAPackage(root + "..")
        .and()
        .resideOutsideOfPackage(in("kernel"))
        .should()
        .dependOnClassesThat()
        .resideInAPackage(in("kernel.internal"))
        .allowEmptyShould(true);
  }

  /** Structs are written at static offsets: a generated accessor is a native call per field. */
  ArchRule noGeneratedAccessors() {
    return noClasses()
        .that()
        .resideOutsideOfPackage(in("kernel.internal.gen"))
        .should()
        .callMethodWhere(describe("calls an accessor of a generated struct", this::isAccessor))
        .allowEmptyShould(true);
  }

  private boolean isAccessor(JavaMethodCall call) {
    return isStruct(call) && !call.getTarget().getName().equals("getPointer");
  }

  /** One struct object per thread, over a buffer: allocating one takes JavaCPP's global lock. */
  ArchRule noAllocatedStructs() {
    return noClasses()
        .that()
        .resideOutsideOfPackage(in("kernel.internal.gen"))
        .should()
        .callConstructorWhere(describe("allocates a generated struct", this::isAllocation))
        .allowEmptyShould(true);
  }

  private boolean isAllocation(JavaConstructorCall call) {
    return isStruct(call)
        && call.getTarget().getRawParameterTypes().stream()
            .noneMatch(type -> type.isEquivalentTo(Pointer.class));
  }

  private boolean isStruct(JavaAccess<?> access) {
    var owner = access.getTarget().getOwner();
    return owner.getPackageName().equals(root + ".kernel.internal.gen")
        && owner.isAssignableTo(Pointer.class);
  }

  /** Indexers need Unsafe, which Java is about to deny. */
  ArchRule noIndexers() {
    return noClasses()
        .that()
        .resideInAPackage(root + "..")
        .should()
        .dependOnClassesThat()
        .resideInAPackage("org.bytedeco.javacpp.indexer..")
        .allowEmptyShould(true);
  }

  /** {@code Tensor.create} fills the tensor through one. */
  ArchRule noIndexersFromPointers() {
    return noClasses()
        .that()
        .resideInAPackage(root + "..")
        .should()
        .callMethodWhere(
            describe(
                "makes an indexer",
                call ->
                    call.getTarget().getName().equals("createIndexer")
                        || call.getTarget().getName().equals("create")
                            && call.getTarget()
                                .getOwner()
                                .isAssignableTo("org.bytedeco.pytorch.AbstractTensor")))
        .allowEmptyShould(true);
  }

  private static <T extends HasOwner<?>> DescribedPredicate<T> describe(
      String text, Predicate<T> predicate) {
    return DescribedPredicate.describe(text, predicate);
  }
}
