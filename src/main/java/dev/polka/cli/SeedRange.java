package dev.polka.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.TypeConversionException;

/**
 * Seeds as they are written on the command line: {@code 1-8}, {@code 3}, {@code 1,4,7-9}.
 *
 * @param seeds the seeds, in the order given
 */
record SeedRange(List<Long> seeds) {
  private static final Pattern PART = Pattern.compile("(\\d{1,9})(?:-(\\d{1,9}))?");
  private static final int MOST = 1_000;

  /** Reads the option's value. */
  static final class Converter implements ITypeConverter<SeedRange> {
    @Override
    public SeedRange convert(String text) {
      List<Long> seeds = new ArrayList<>();
      for (String part : text.split(",", -1)) {
        Matcher matcher = PART.matcher(part.strip());
        if (!matcher.matches()) {
          throw new TypeConversionException("'" + text + "' is not like 1-8 or 1,4,7-9");
        }
        long first = Long.parseLong(matcher.group(1));
        long last = matcher.group(2) == null ? first : Long.parseLong(matcher.group(2));
        if (last < first || last - first >= MOST) {
          throw new TypeConversionException(
              "'" + part.strip() + "' is not an ascending range of at most " + MOST + " seeds");
        }
        for (long seed = first; seed <= last; seed++) {
          seeds.add(seed);
        }
      }
      return new SeedRange(List.copyOf(seeds));
    }
  }
}
