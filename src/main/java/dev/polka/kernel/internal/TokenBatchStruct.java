package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_token_batch}. */
public final class TokenBatchStruct {
  public static final int SEQUENCES = 0;
  public static final int OFFSETS = 8;
  public static final int OLD_LOG_PROB = 16;
  public static final int REF_LOG_PROB = 24;
  public static final int ADVANTAGES = 32;
  public static final int WEIGHTS = 40;
  public static final int ADVANTAGE_PER_SEQUENCE = 48;
  public static final int RESERVED = 52;
  public static final int BEHAVIOUR_LOG_PROB = 56;
  public static final int ANCHOR_WEIGHTS = 64;
  public static final int NLL_WEIGHTS = 72;

  /** Bytes of the whole struct. */
  public static final int SIZE = 80;

  private TokenBatchStruct() {}
}
