package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_token_kl_args}. */
public final class TokenKlStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int COUNT = 56;
  public static final int LOG_PROB = 64;
  public static final int REF_LOG_PROB = 72;
  public static final int OLD_LOG_PROB = 80;
  public static final int MASK = 88;
  public static final int UPSTREAM = 96;
  public static final int KL = 104;
  public static final int D_LOG_PROB = 112;
  public static final int ESTIMATOR = 120;
  public static final int GRADIENT_MODE = 124;
  public static final int MAX_LOG_RATIO = 128;
  public static final int K3_MAX = 132;

  /** Bytes of the whole struct. */
  public static final int SIZE = 136;

  private TokenKlStruct() {}
}
