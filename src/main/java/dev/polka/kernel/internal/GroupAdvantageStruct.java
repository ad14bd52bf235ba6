package dev.polka.kernel.internal;

/** Byte offsets of {@code polka_group_advantage_args}. */
public final class GroupAdvantageStruct {
  public static final int STRUCT_SIZE = 0;
  public static final int EXEC = 8;
  public static final int COUNT = 56;
  public static final int GROUPS = 64;
  public static final int REWARDS = 72;
  public static final int GROUP_OFFSETS = 80;
  public static final int ADVANTAGES = 88;
  public static final int MEAN = 96;
  public static final int STD = 104;
  public static final int FINITE_COUNT = 112;
  public static final int ZERO_VARIANCE = 120;
  public static final int EPSILON = 128;
  public static final int REWARD_DTYPE = 136;
  public static final int ADVANTAGE_DTYPE = 140;
  public static final int BASELINE = 144;
  public static final int SCALE = 148;
  public static final int EPSILON_PLACEMENT = 152;
  public static final int SINGLETON = 156;
  public static final int WEIGHTS = 160;
  public static final int SOFT_BETA = 168;
  public static final int GIVEN_SCALE = 176;

  /** Bytes of the whole struct. */
  public static final int SIZE = 184;

  private GroupAdvantageStruct() {}
}
