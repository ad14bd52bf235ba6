package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_token_returns_args}. */
public final class TokenReturnsStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int COUNT = 56;
  public static final int SEQUENCES = 64;
  public static final int OFFSETS = 72;
  public static final int REWARDS = 80;
  public static final int VALUES = 88;
  public static final int MASK = 96;
  public static final int BOOTSTRAP = 104;
  public static final int SEQUENCE_LAMBDA = 112;
  public static final int ADVANTAGES = 120;
  public static final int RETURNS = 128;
  public static final int GAMMA = 136;
  public static final int LAMBDA = 144;
  public static final int VALUE_LAMBDA = 152;
  public static final int LENGTH_ALPHA = 160;

  /** Bytes of the whole struct. */
  public static final int SIZE = 168;

  private TokenReturnsStruct() {}
}
