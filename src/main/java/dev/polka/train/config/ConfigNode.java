package dev.polka.train.config;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import dev.polka.train.InputException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.BiFunction;
import java.util.function.Supplier;

/**
 * One object of a configuration, read strictly: keys that are not known, values of the wrong type
 * and numbers outside their range are errors that name file, line and key.
 */
final class ConfigNode {
  private final ConfigDocument document;
  private final String pointer;
  private final String path;
  private final JsonNode node;
  private List<String> known;

  private ConfigNode(ConfigDocument document, String pointer, String path, JsonNode node) {
    this.document = document;
    this.pointer = pointer;
    this.path = path;
    this.node = node;
    if (!node.isObject()) {
      throw error("must hold keys and values");
    }
  }

  static ConfigNode root(ConfigDocument document) {
    return new ConfigNode(document, "", "", document.root());
  }

  /** Says which keys there are; any other in the file is an error. */
  ConfigNode keys(String... names) {
    known = Arrays.asList(names);
    node.fieldNames()
        .forEachRemaining(
            key -> {
              if (!known.contains(key)) {
                String where = path.isEmpty() ? "" : " in " + path;
                throw new InputException(
                    at(key) + "unknown key '" + key + "'" + where + NearestName.hint(key, known));
              }
            });
    return this;
  }

  boolean has(String key) {
    return !value(key).isMissingNode();
  }

  String text(String key) {
    return require(key, text(key, null));
  }

  String text(String key, String otherwise) {
    JsonNode value = value(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    if (!value.isValueNode() || value.isNull()) {
      throw error(key, "must be a text");
    }
    return value.asText();
  }

  List<String> texts(String key) {
    List<String> texts = new ArrayList<>();
    for (JsonNode element : array(key)) {
      if (!element.isTextual()) {
        throw error(key, "must be a list of texts");
      }
      texts.add(element.textValue());
    }
    return texts;
  }

  List<Long> longs(String key) {
    List<Long> numbers = new ArrayList<>();
    for (JsonNode element : array(key)) {
      if (!element.isIntegralNumber() || !element.canConvertToLong()) {
        throw error(key, "must be a list of whole numbers");
      }
      numbers.add(element.longValue());
    }
    return numbers;
  }

  int integer(String key, int least, int most) {
    return require(key, integer(key, null, least, most));
  }

  Integer integer(String key, Integer otherwise, int least, int most) {
    Long number = whole(key, otherwise == null ? null : otherwise.longValue(), least, most);
    return number == null ? null : number.intValue();
  }

  Long whole(String key, Long otherwise, long least, long most) {
    JsonNode value = value(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    boolean inRange =
        value.isIntegralNumber()
            && value.canConvertToLong()
            && value.longValue() >= least
            && value.longValue() <= most;
    if (!inRange) {
      throw error(
          key, "is " + value + ", must be a whole number " + range("" + least, most, "" + most));
    }
    return value.longValue();
  }

  /** A number in [least, most]. */
  double number(String key, double otherwise, double least, double most) {
    return number(key, otherwise, least, most, false);
  }

  /** A number in (least, most]. */
  double numberAbove(String key, double otherwise, double least, double most) {
    return number(key, otherwise, least, most, true);
  }

  private double number(String key, double otherwise, double least, double most, boolean open) {
    JsonNode value = value(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    // "1e-3" without a dot is a text to YAML 1.1, and what people write.
    double number = value.isNumber() ? value.doubleValue() : parsed(value);
    if (!(open ? number > least : number >= least) || !(number <= most)) {
      String from = open ? "above " + least : "from " + least;
      String to = most == Double.MAX_VALUE ? "" : " to " + most;
      throw error(key, "is " + value + ", must be a number " + from + to);
    }
    return number;
  }

  private static double parsed(JsonNode value) {
    try {
      return value.isTextual() ? Double.parseDouble(value.textValue()) : Double.NaN;
    } catch (NumberFormatException e) {
      return Double.NaN;
    }
  }

  boolean flag(String key, boolean otherwise) {
    JsonNode value = value(key);
    if (value.isMissingNode()) {
      return otherwise;
    }
    if (!value.isBoolean()) {
      throw error(key, "is " + value + ", must be true or false");
    }
    return value.booleanValue();
  }

  <E extends Enum<E>> E choice(String key, Class<E> type) {
    return require(key, choice(key, type, null));
  }

  <E extends Enum<E>> E choice(String key, Class<E> type, E otherwise) {
    String text = text(key, null);
    if (text == null) {
      return otherwise;
    }
    List<String> names = new ArrayList<>();
    for (E constant : type.getEnumConstants()) {
      if (spelled(constant).equals(text)) {
        return constant;
      }
      names.add(spelled(constant));
    }
    String hint =
        NearestName.nearest(text, names)
            .map(name -> "; did you mean '" + name + "'?")
            .orElse(", must be one of " + String.join(", ", names));
    throw error(key, "is '" + text + "'" + hint);
  }

  /** How a configuration writes an enum constant: REVERSE_KL is reverse-kl. */
  static String spelled(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** A nested object, empty where the key is missing. */
  ConfigNode child(String key) {
    JsonNode value = value(key);
    JsonNode content = value.isMissingNode() ? JsonNodeFactory.instance.objectNode() : value;
    return new ConfigNode(document, pointer + "/" + key, childPath(key), content);
  }

  /** Named objects, such as models. */
  List<String> names() {
    List<String> names = new ArrayList<>();
    node.fieldNames().forEachRemaining(names::add);
    known = names;
    return names;
  }

  /** A list of objects; each is described by its key {@code name} where it has one. */
  <T> List<T> children(String key, BiFunction<ConfigNode, Integer, T> read) {
    List<T> children = new ArrayList<>();
    int index = 0;
    for (JsonNode element : array(key)) {
      String name = element.path("name").asText("");
      String shown = childPath(key) + "[" + (name.isEmpty() ? "" + index : name) + "]";
      var child = new ConfigNode(document, pointer + "/" + key + "/" + index, shown, element);
      children.add(child.guarded(() -> read.apply(child, child.index())));
      index++;
    }
    return children;
  }

  private Integer index() {
    return Integer.valueOf(pointer.substring(pointer.lastIndexOf('/') + 1));
  }

  /** Adds file, line and path to the errors that values raise about themselves. */
  <T> T guarded(Supplier<T> make) {
    try {
      return make.get();
    } catch (InputException e) {
      throw e.getMessage().startsWith(document.name()) ? e : error(e.getMessage());
    } catch (IllegalArgumentException e) {
      throw error(e.getMessage());
    }
  }

  InputException error(String key, String problem) {
    return new InputException(at(key) + childPath(key) + " " + problem);
  }

  private InputException error(String problem) {
    Integer line = pointer.isEmpty() ? null : document.lines().get(pointer);
    return new InputException(
        document.name()
            + (line == null ? "" : ":" + line)
            + ": "
            + (path.isEmpty() ? "" : path + " ")
            + problem);
  }

  private JsonNode value(String key) {
    if (known == null || !known.contains(key)) {
      throw new AssertionError("key " + key + " is read but not declared in " + path);
    }
    return node.path(key);
  }

  private Iterable<JsonNode> array(String key) {
    JsonNode value = value(key);
    if (!value.isArray() && !value.isMissingNode()) {
      throw error(key, "must be a list");
    }
    return value;
  }

  private <T> T require(String key, T value) {
    if (value == null) {
      throw error("has no '" + key + "'");
    }
    return value;
  }

  private String at(String key) {
    Integer line = document.lines().get(pointer + "/" + key);
    return document.name() + (line == null ? "" : ":" + line) + ": ";
  }

  private String childPath(String key) {
    return path.isEmpty() ? key : path + "." + key;
  }

  private static String range(String from, long most, String to) {
    return most >= Integer.MAX_VALUE ? "of at least " + from : "from " + from + " to " + to;
  }
}
