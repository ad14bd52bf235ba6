// divergence on the device: student and teacher logits -> one value per row, the loss, the student's
// gradient.
//
// Three looks at a row: its statistics on both sides, the sum of the divergence from normalised
// log-probs, the gradient. Both rows stay in shared memory, across a cluster of blocks where one has
// too little: 2 V s bytes in, V s out. Where they do not fit, and under softcap or a keep-mask, the
// later looks read memory again, mostly the L2 cache. The loss follows in two small launches.
#pragma once

#include "device/targets.cuh"
#include "row_plan.cuh"

namespace polka::cuda {

struct DivergenceMemory {
  uint64_t status;
  uint64_t values;   // [rows] f32
  uint64_t partial;  // [warps of WeightedSumKernel] f64
};

struct DivergenceParams {
  polka_divergence_args args;
  DivergenceMemory memory;
  Team team;
};

// Floats a tile in shared memory: three of the student's statistics, two of the teacher's, two sums.
constexpr int kDivergenceWords = kStatsWords<Level::kEntropy> + kStatsWords<Level::kPlain> + 2;

// Probabilities and log-probs of one side from its y.
struct SideExponent {
  Exponent exponent;
  float bias, norm;

  POLKA_DEVICE SideExponent(const SoftmaxOutputs& s, float log2e_over_t)
      : exponent(s.max, log2e_over_t), bias(fmaf(exponent.delta, kLn2, s.log_sum)), norm(expf(-bias)) {}

  POLKA_DEVICE void operator()(float y, float& p, float& log_p) const {
    const float x2 = exponent(y);
    p = Exp2(x2) * norm;
    log_p = fmaf(x2, kLn2, -bias);
  }
};

// Sums over a tile or a row: the value, and for JSD also K = KL(p || m).
struct DivergenceSums {
  double value, student_kl;
};

template <class T, class Out, int kKind, bool kGeneral, bool kOnChip>
struct DivergenceKernel {
  using Params = DivergenceParams;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksPerSm = 2;
  static constexpr int kPer = kPerVec<T>;

  // Both rows of the same tokens.
  struct Pair {
    LogitsRow<T> student, teacher;
  };

  // One vector of a row, from the chip or from memory, as y.
  template <class Context>
  POLKA_DEVICE static void Logits(Context& ctx, const LogitsRow<T>& row, int64_t begin, Shared<Vec> slot, int i,
                                  float (&y)[kPer]) {
    const int64_t column = ColumnOf<T>(begin, i, ctx.Lane());
    uint32_t live = 0;
    if constexpr (kGeneral) live = LiveVector(ctx, row, column, -1);
    Vec v;
    if constexpr (kOnChip) {
      v = ReadVector(ctx, row.span, begin, slot, i);
    } else {
      v = LoadVector(ctx, row.span, column);
    }
    LogitsOf<kGeneral>(row, v, live, 0, y);
  }

  // Both rows of a tile, vector after vector: few registers, and code short enough for the
  // instruction cache. body(p, log p, q, log q, student's y, element) for each column of vector i.
  template <class Context, class Body>
  POLKA_DEVICE static void ForVector(Context& ctx, const Pair& rows, int64_t begin, Shared<Vec> slots, int i,
                                     const SideExponent& student, const SideExponent& teacher, const Body& body) {
    float ys[kPer], yt[kPer];
    Logits(ctx, rows.student, begin, slots, i, ys);
    Logits(ctx, rows.teacher, begin, slots + kSlotVectors, i, yt);
#pragma unroll
    for (int e = 0; e < kPer; ++e) {
      float p, lp, q, lq;
      student(ys[e], p, lp);
      teacher(yt[e], q, lq);
      body(p, lp, q, lq, ys[e], e);
    }
  }

  // The sums of one tile, put where the team sees them after its next barrier.
  template <class Context>
  POLKA_DEVICE static void SumTile(Context& ctx, const Params& p, const Pair& rows, int64_t begin, Shared<Vec> slots,
                                   const SideExponent& student, const SideExponent& teacher, const StatsTable& table,
                                   int tile) {
    const float beta = p.args.beta, rest = 1 - p.args.beta;
    float value[4] = {0, 0, 0, 0}, student_kl[4] = {0, 0, 0, 0};
#pragma unroll 1
    for (int i = 0; i < kVectorsPerLane; ++i) {
      ForVector(ctx, rows, begin, slots, i, student, teacher, [&](float pe, float lp, float q, float lq, float, int e) {
        if constexpr (kKind == POLKA_FORWARD_KL) {
          value[e % 4] += ForwardKlTerm(pe, q, lp, lq, 0.0f);
        } else if constexpr (kKind == POLKA_REVERSE_KL) {
          value[e % 4] += ReverseKlTerm(pe, q, lp, lq, 0.0f);
        } else {
          const MixtureRatio<float> ratio = LogRatioToMixture(lp, lq, beta, rest, 0.0f);
          value[e % 4] += JsdTerm(pe, q, ratio, beta, rest, 0.0f);
          student_kl[e % 4] += JsdStudentTerm(pe, ratio, 0.0f);
        }
      });
    }
    PutWord(ctx, p.team, table, tile, WarpSum(ctx, value));
    if (kKind == POLKA_JSD) PutWord(ctx, p.team, table, table.tiles + tile, WarpSum(ctx, student_kl));
  }

  template <class Context>
  POLKA_DEVICE static void PutWord(Context& ctx, const Team& team, const StatsTable& table, int place, float word) {
    if (team.cluster == 1) {
      if (ctx.Lane() == 0) ctx.Write(table.words + place, word);
    } else if (ctx.Lane() < team.cluster) {
      ctx.WriteRemote(table.words + place, ctx.Lane(), word);
    }
  }

  // The row's sums, in every lane: runs of tiles in f64, then one fixed tree.
  template <class Context>
  POLKA_DEVICE static double MergeWord(Context& ctx, const StatsTable& table, int first) {
    const int run = (table.tiles + kWarpLanes - 1) / kWarpLanes;
    double sum = 0;
    for (int t = ctx.Lane() * run; t < (ctx.Lane() + 1) * run && t < table.tiles; ++t) {
      sum += static_cast<double>(ctx.Read(table.words + (first + t)));
    }
#pragma unroll
    for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) sum += ctx.ShuffleXor(sum, mask);
    return sum;
  }

  // The gradient of one tile.
  template <class Context>
  POLKA_DEVICE static void WriteTile(Context& ctx, const Params& p, const Pair& rows, int64_t begin, Shared<Vec> slots,
                                     const SideExponent& student, const SideExponent& teacher,
                                     const DivergenceSums& sums, float scale, const RowSpan<Out>& out) {
    const float rest = 1 - p.args.beta, cap = rows.student.softcap;
    const float value = static_cast<float>(sums.value), student_kl = static_cast<float>(sums.student_kl);
    TileWriter<T, Out, Context> writer(ctx, out, begin);
#pragma unroll 1
    for (int i = 0; i < kVectorsPerLane; ++i) {
      float d[kPer];
      ForVector(ctx, rows, begin, slots, i, student, teacher,
                [&](float pe, float lp, float q, float lq, float y, int e) {
                  float g;
                  if constexpr (kKind == POLKA_FORWARD_KL) {
                    g = ForwardKlGradient(pe, q);
                  } else if constexpr (kKind == POLKA_REVERSE_KL) {
                    g = ReverseKlGradient(pe, lp, lq, value, 0.0f);
                  } else {
                    g = JsdGradient(pe, LogRatioToMixture(lp, lq, p.args.beta, rest, 0.0f), student_kl, rest, 0.0f);
                  }
                  g *= scale;
                  if (kGeneral && cap != 0) g *= fmaf(-(y / cap), y / cap, 1.0f);
                  // A column that the student cannot reach stays where it is.
                  d[e] = y == -INFINITY ? 0.0f : g;
                });
      // Lanes of an unaligned row write into each other's columns.
      if (!kOnChip && out.Shift() != 0) ctx.WarpBarrier();
      writer.Put(i, d);
    }
  }

  template <class Context>
  POLKA_DEVICE static void Put(Context& ctx, uint64_t address, int64_t row, float value) {
    if (address != 0) ctx.Store(reinterpret_cast<float*>(address) + row, value);
  }

  template <class Context>
  POLKA_DEVICE static void PutRow(Context& ctx, const Params& p, int64_t r, float value, const SoftmaxOutputs& student,
                                  const SoftmaxOutputs& teacher) {
    Put(ctx, p.memory.values, r, value);
    Put(ctx, p.args.student_entropy, r, student.entropy);
    Put(ctx, p.args.student_lse, r, student.lse);
    Put(ctx, p.args.teacher_lse, r, teacher.lse);
  }

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_divergence_args& a = p.args;
    const Team& team = p.team;
    team.Start(ctx);
    const int64_t r = team.Row(ctx);
    if (r >= a.student.rows) return;
    const int member = team.Member(ctx), members = team.Members();
    const bool writes = member == 0 && ctx.Lane() == 0;
    const bool gradient = a.d_student.data != 0;
    const Pair rows = {LogitsRowOf<T>(ctx, a.student, a.student_softmax, r, -1),
                       LogitsRowOf<T>(ctx, a.teacher, a.teacher_softmax, r, -1)};
    RowSpan<Out> out = RowOf<Out>(a.d_student, gradient ? r : 0, a.d_student.cols);

    const bool masked = a.mask != 0 && ctx.Load(reinterpret_cast<const uint8_t*>(a.mask) + r) == 0;
    const bool bad_student = !GoodTemperature(rows.student.temperature);
    if (masked || bad_student || !GoodTemperature(rows.teacher.temperature)) {
      team.Started(ctx);
      const float fill = masked ? 0.0f : NAN;
      if (writes) {
        if (!masked) {
          const float temperature = bad_student ? rows.student.temperature : rows.teacher.temperature;
          ReportRow(ctx, p.memory.status, r, BadRow::kTemperature, BitCast<uint32_t>(temperature));
        }
        SoftmaxOutputs none = {};
        none.entropy = none.lse = fill;
        PutRow(ctx, p, r, fill, none, none);
      }
      if (gradient) FillColumns(ctx, out, 0, fill, member, members);
      return;
    }

    const int tiles = static_cast<int>(TileCount<T>(rows.student.span.columns));
    const int own = member < tiles ? (tiles - member + members - 1) / members : 0;
    // Slots first, the warp's own next to each other, then the tables.
    const int per_warp = (tiles + members - 1) / members;
    const Shared<Vec> slots = {static_cast<uint32_t>(ctx.Warp() * per_warp * 2 * kSlotBytes)};
    const int table = team.warps_per_row == 1 ? ctx.Warp() : 0;
    const uint32_t tables = static_cast<uint32_t>((kOnChip ? per_warp * ctx.Warps() * 2 * kSlotBytes : 0) +
                                                  table * tiles * kDivergenceWords * 4);
    const StatsTable student_table = {{tables}, tiles};
    const StatsTable teacher_table = {{tables + static_cast<uint32_t>(tiles * 12)}, tiles};
    const StatsTable sums_table = {{tables + static_cast<uint32_t>(tiles * 20)}, tiles};
    const auto begin_of = [&](int k) { return static_cast<int64_t>(member + k * members) * kTileColumns<T>; };
    if constexpr (kOnChip) {
      for (int k = 0; k < own; ++k) {
        CopyTile(ctx, rows.student.span, begin_of(k), slots + 2 * k * kSlotVectors);
        CopyTile(ctx, rows.teacher.span, begin_of(k), slots + (2 * k + 1) * kSlotVectors);
      }
    }
    team.Started(ctx);

    const SoftmaxWants student_wants = {true, false, false}, teacher_wants = {false, false, false};
    for (int k = 0; k < own; ++k) {
      if constexpr (kOnChip) {
        WaitForTiles(ctx, 2 * (own - 1 - k));
        // Lanes of an unaligned row read each other's copies.
        if (rows.student.span.Shift() != 0 || rows.teacher.span.Shift() != 0) ctx.WarpBarrier();
      }
      TileVectors tile;
      if constexpr (kOnChip) {
        ReadTile(ctx, rows.student.span, begin_of(k), slots + 2 * k * kSlotVectors, tile);
      } else {
        LoadTile(ctx, rows.student.span, begin_of(k), tile);
      }
      PutTile<Level::kEntropy>(
          ctx, team, student_table, member + k * members,
          ComputeTile<Level::kEntropy, kGeneral>(ctx, rows.student, begin_of(k), tile, student_wants));
      if constexpr (kOnChip) {
        ReadTile(ctx, rows.teacher.span, begin_of(k), slots + (2 * k + 1) * kSlotVectors, tile);
      } else {
        LoadTile(ctx, rows.teacher.span, begin_of(k), tile);
      }
      PutTile<Level::kPlain>(ctx, team, teacher_table, member + k * members,
                             ComputeTile<Level::kPlain, kGeneral>(ctx, rows.teacher, begin_of(k), tile, teacher_wants));
    }
    team.Barrier(ctx);
    const auto finish = [&](const TileStats& total, const LogitsRow<T>& row, const SoftmaxWants& wants) {
      return FinishSoftmax(total.stats, total.shape, false, -INFINITY, row.temperature, 0, wants);
    };
    const SoftmaxOutputs student = finish(MergeTiles<Level::kEntropy>(ctx, student_table, rows.student.temperature, 0),
                                          rows.student, student_wants);
    const SoftmaxOutputs teacher =
        finish(MergeTiles<Level::kPlain>(ctx, teacher_table, rows.teacher.temperature, 0), rows.teacher, teacher_wants);
    const SideExponent student_exp(student, rows.student.log2e_over_t);
    const SideExponent teacher_exp(teacher, rows.teacher.log2e_over_t);

    for (int k = 0; k < own; ++k) {
      SumTile(ctx, p, rows, begin_of(k), slots + 2 * k * kSlotVectors, student_exp, teacher_exp, sums_table,
              member + k * members);
    }
    team.Barrier(ctx);
    const DivergenceSums sums = {MergeWord(ctx, sums_table, 0),
                                 kKind == POLKA_JSD ? MergeWord(ctx, sums_table, tiles) : 0};
    // Rounding can leave a sum of terms >= 0 just below 0; a NaN stays.
    const float value = static_cast<float>(sums.value);
    if (writes) PutRow(ctx, p, r, value < 0 ? 0 : value, student, teacher);
    if (!gradient) return;
    // An infinite divergence has no gradient: 0, as for a target at -inf.
    if (a.divisor == 0 || sums.value == static_cast<double>(INFINITY)) {
      return FillColumns(ctx, out, 0, 0.0f, member, members);
    }
    const float row_weight = a.row_weight == 0 ? 1 : ctx.Load(reinterpret_cast<const float*>(a.row_weight) + r);
    const double gradient_scale = a.gradient_scale == 0 ? 1 : static_cast<double>(a.gradient_scale);
    const float scale =
        static_cast<float>(static_cast<double>(row_weight) * gradient_scale / a.divisor) / rows.student.temperature;
    out.columns = rows.student.span.columns;
    for (int k = 0; k < own; ++k) {
      WriteTile(ctx, p, rows, begin_of(k), slots + 2 * k * kSlotVectors, student_exp, teacher_exp, sums, scale, out);
    }
    out.columns = a.d_student.cols;
    FillColumns(ctx, out, rows.student.span.columns, 0.0f, member, members);
  }
};

// ---- the loss --------------------------------------------------------------------------------------

constexpr int64_t kRowsPerSum = 256;

constexpr int64_t WeightedSums(int64_t rows) { return (rows + kRowsPerSum - 1) / kRowsPerSum; }

// sum of w_r value_r over each 256 rows, one warp for them.
struct WeightedSumKernel {
  using Params = DivergenceParams;
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksPerSm = 2;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    const polka_divergence_args& a = p.args;
    const int64_t warp = ctx.Block() * kRowWarps + ctx.Warp();
    const int64_t begin = warp * kRowsPerSum, end = begin + kRowsPerSum;
    if (begin >= a.student.rows) return;
    double sum = 0;
    for (int64_t r = begin + ctx.Lane(); r < end && r < a.student.rows; r += kWarpLanes) {
      if (a.mask != 0 && ctx.Load(reinterpret_cast<const uint8_t*>(a.mask) + r) == 0) continue;
      const float weight = a.row_weight == 0 ? 1 : ctx.Load(reinterpret_cast<const float*>(a.row_weight) + r);
      sum += static_cast<double>(weight) *
             static_cast<double>(ctx.Load(reinterpret_cast<const float*>(p.memory.values) + r));
    }
#pragma unroll
    for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) sum += ctx.ShuffleXor(sum, mask);
    if (ctx.Lane() == 0) ctx.Store(reinterpret_cast<double*>(p.memory.partial) + warp, sum);
  }
};

// loss = the sums, in order, over the divisor.
struct DivergenceLossKernel {
  using Params = DivergenceParams;
  static constexpr int kThreads = kWarpLanes;
  static constexpr int kBlocksPerSm = 1;

  template <class Context>
  POLKA_DEVICE static void Run(Context& ctx, const Params& p) {
    double sum = 0;
    for (int64_t i = ctx.Lane(); i < WeightedSums(p.args.student.rows); i += kWarpLanes) {
      sum += ctx.Load(reinterpret_cast<const double*>(p.memory.partial) + i);
    }
#pragma unroll
    for (int mask = kWarpLanes / 2; mask > 0; mask /= 2) sum += ctx.ShuffleXor(sum, mask);
    const double loss = p.args.divisor == 0 ? 0 : sum / p.args.divisor;
    if (ctx.Lane() == 0) ctx.Store(reinterpret_cast<double*>(p.args.loss), loss);
  }
};

// ---- the whole operation ---------------------------------------------------------------------------

struct DivergenceWorkspace {
  DivergenceMemory memory;
  int64_t bytes;
};

inline DivergenceWorkspace DivergenceWorkspaceOf(const polka_divergence_args& a) {
  const int64_t values = a.value != 0 ? 0 : (a.student.rows * 4 + 63) / 64 * 64;
  const int64_t partial = (WeightedSums(a.student.rows) * 8 + 63) / 64 * 64;
  const uint64_t base = a.exec.workspace;
  return {{base, a.value != 0 ? a.value : base + 64, base + 64 + static_cast<uint64_t>(values)}, 64 + values + partial};
}

// Student and teacher must have one dtype.
template <class Launcher>
typename Launcher::Result LaunchDivergence(const polka_divergence_args& a, const DivergenceMemory& memory,
                                           const DeviceLimits& limits, const Launcher& launch) {
  using Result = typename Launcher::Result;
  const bool general = a.student_softmax.softcap != 0 || a.student_softmax.keep_mask != 0 ||
                       a.teacher_softmax.softcap != 0 || a.teacher_softmax.keep_mask != 0;
  const int64_t columns = a.student_softmax.valid_vocab == 0 ? a.student.cols : a.student_softmax.valid_vocab;
  const int64_t rows = a.student.rows;
  const auto rows_of = [&]<class T, class Out, int kKind>() -> Result {
    if constexpr (sizeof(T) == sizeof(Out)) {
      const ChipPlan plan = PlanOnChip(rows, TileCount<T>(columns), kDivergenceWords, 2, limits);
      if (plan.on_chip && !general) {
        return launch(DivergenceKernel<T, Out, kKind, false, true>{}, plan.rows.launch, {a, memory, plan.rows.team});
      }
    }
    const RowPlan plan = PlanRows(rows, TileCount<T>(columns), kDivergenceWords, limits);
    return launch(DivergenceKernel<T, Out, kKind, true, false>{}, plan.launch, {a, memory, plan.team});
  };
  const auto with_types = [&]<class T, class Out>() -> Result {
    switch (a.kind) {
      case POLKA_FORWARD_KL:
        return rows_of.template operator()<T, Out, POLKA_FORWARD_KL>();
      case POLKA_REVERSE_KL:
        return rows_of.template operator()<T, Out, POLKA_REVERSE_KL>();
      default:
        return rows_of.template operator()<T, Out, POLKA_JSD>();
    }
  };
  const auto all_rows = [&]() -> Result {
    const bool widened = a.d_student.data != 0 && a.d_student.dtype != a.student.dtype;
    switch (a.student.dtype) {
      case POLKA_BF16:
        return widened ? with_types.template operator()<Bf16, float>() : with_types.template operator()<Bf16, Bf16>();
      case POLKA_F16:
        return widened ? with_types.template operator()<Half, float>() : with_types.template operator()<Half, Half>();
      default:
        return with_types.template operator()<float, float>();
    }
  };
  Result result = {};
  const DivergenceParams params = {a, memory, {}};
  if (rows > 0) result = all_rows();
  if (a.loss == 0) return result;
  if (result == Result{} && rows > 0) {
    const int64_t blocks = (WeightedSums(rows) + kRowWarps - 1) / kRowWarps;
    result = launch(WeightedSumKernel{}, {blocks, kRowThreads, 1, 0}, params);
  }
  if (result == Result{}) result = launch(DivergenceLossKernel{}, {1, kWarpLanes, 1, 0}, params);
  return result;
}

}  // namespace polka::cuda
