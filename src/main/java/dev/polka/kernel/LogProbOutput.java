package dev.polka.kernel;

import dev.polka.kernel.internal.LogProbForwardStruct;

/** The per-row outputs of log_prob: their name, their place in the struct, whether always made. */
enum LogProbOutput {
  LOG_PROB("logProb", LogProbForwardStruct.LOG_PROB),
  MAX("max", LogProbForwardStruct.MAX),
  LOG_SUM("logSum", LogProbForwardStruct.LOG_SUM),
  LSE("lse", LogProbForwardStruct.LSE),
  ENTROPY("entropy", LogProbForwardStruct.ENTROPY),
  SUM_P2("sumP2", LogProbForwardStruct.SUM_P2),
  MEAN_LOGIT("meanLogit", LogProbForwardStruct.MEAN_LOGIT),
  SELF_CERTAINTY("selfCertainty", LogProbForwardStruct.SELF_CERTAINTY),
  FINITE_COLUMNS("finiteColumns", LogProbForwardStruct.FINITE_COLUMNS),
  TOP1("top1", LogProbForwardStruct.TOP1),
  TOP2("top2", LogProbForwardStruct.TOP2),
  SECOND_LOG_PROB("secondLogProb", LogProbForwardStruct.SECOND_LOG_PROB);

  /** Not {@code values()}, which copies. */
  static final LogProbOutput[] ALL = values();

  /** The outputs that every forward makes, as a set of bits. */
  static final int ALWAYS = LOG_PROB.bit() | MAX.bit() | LOG_SUM.bit() | LSE.bit();

  final String label;
  final int offset;

  LogProbOutput(String label, int offset) {
    this.label = label;
    this.offset = offset;
  }

  int bit() {
    return 1 << ordinal();
  }

  boolean in(int set) {
    return (set & bit()) != 0;
  }

  /** The names of a set, for messages. */
  static String names(int set) {
    var names = new StringBuilder();
    for (LogProbOutput output : ALL) {
      if (output.in(set)) {
        names.append(names.isEmpty() ? "" : ", ").append(output.label);
      }
    }
    return names.toString();
  }
}
