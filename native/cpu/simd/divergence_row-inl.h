// One row of a divergence, tile by tile: the teacher's logits with or without a reference, the sums
// over a tile, the gradient of a tile. Included once per SIMD target by every operation that compares
// two rows of logits.
#if defined(POLKA_SIMD_DIVERGENCE_ROW_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef POLKA_SIMD_DIVERGENCE_ROW_INL_H
#undef POLKA_SIMD_DIVERGENCE_ROW_INL_H
#else
#define POLKA_SIMD_DIVERGENCE_ROW_INL_H
#endif

#include "simd/softmax_row-inl.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

#include "divergence.inl"

struct StudentRow {
  SoftmaxRow row;
  SoftmaxOutputs out;
};

// The teacher's row; with a reference its y is lambda y_t + (1 - lambda) y_r, less a constant of the
// row that keeps it near 0: an offset common to the logits would cost the mixture its digits.
struct TeacherRow {
  SoftmaxRow row;
  SoftmaxRow reference;
  float beyond;  // lambda - 1
  float shift, reference_shift;
  bool mixed;
  bool measure;  // the row holds ln q as it is
  SoftmaxOutputs out;
};

// The first finite logit of a row, after softcap; 0 where there is none.
template <class T>
HWY_INLINE float FirstFinite(const SoftmaxRow& row) {
  const T* z = reinterpret_cast<const T*>(row.address);
  for (int64_t j = 0; j < row.columns; ++j) {
    const V v = LoadOne(z + j);
    const float y = hn::GetLane(row.softcap == 0 ? v : Softcap(v, row.softcap));
    if (isfinite(y)) return y;
  }
  return 0;
}

inline float FirstFinite(const SoftmaxRow& row) {
  switch (row.dtype) {
    case POLKA_BF16:
      return FirstFinite<Bf16>(row);
    case POLKA_F16:
      return FirstFinite<Half>(row);
    default:
      return FirstFinite<float>(row);
  }
}

// lambda 1 is the teacher alone, lambda 0 the reference alone.
inline TeacherRow MakeTeacherRow(const SoftmaxRow& row, const SoftmaxRow* reference, float lambda, bool measure) {
  TeacherRow t = {row, row, 0, 0, 0, false, measure, {}};
  if (reference == nullptr || lambda == 1) return t;
  t.reference = *reference;
  if (lambda == 0) {
    t.row = *reference;
    return t;
  }
  t.mixed = true;
  t.beyond = lambda - 1;
  t.shift = FirstFinite(row);
  t.reference_shift = FirstFinite(*reference);
  return t;
}

inline Tile LoadTile(const TeacherRow& t, int64_t begin, float* scratch) {
  if (!t.mixed) return LoadTile(t.row, begin, scratch);
  HWY_ALIGN float reference_scratch[kTileColumns];
  const Tile teacher = LoadTile(t.row, begin, scratch);
  const Tile reference = LoadTile(t.reference, begin, reference_scratch);
  const V low = hn::Set(kF32, -INFINITY), high = hn::Set(kF32, INFINITY);
  const V shift = hn::Set(kF32, t.shift), reference_shift = hn::Set(kF32, t.reference_shift);
  const V beyond = hn::Set(kF32, t.beyond);
  V m[kUnroll] = {low, low, low, low};
  const auto mix = [&](V yt, V yr) HWY_ATTR {
    const V a = hn::Sub(yt, shift), b = hn::Sub(yr, reference_shift);
    // Both add to what the teacher has: where the two agree, lambda changes nothing.
    const V y = hn::MulAdd(beyond, hn::Sub(a, b), a);
    const auto masked = hn::Or(hn::Eq(yt, low), hn::Eq(yr, low));
    const auto broken = hn::Or(hn::Eq(yt, high), hn::Eq(yr, high));
    const V nan = hn::Sub(high, high);
    const auto number = hn::Not(hn::IsNaN(hn::Add(yt, yr)));
    return hn::IfThenElse(broken, nan, hn::IfThenElse(hn::And(masked, number), low, y));
  };
  int64_t j = 0;
  for (; j + kLanes <= teacher.count; j += kLanes) {
    const V y = mix(Load(teacher.y + j), Load(reference.y + j));
    hn::StoreU(y, kF32, scratch + j);
    m[0] = hn::Max(m[0], y);
  }
  for (; j < teacher.count; ++j) {
    const V y = mix(hn::Set(kF32, teacher.y[j]), hn::Set(kF32, reference.y[j]));
    scratch[j] = hn::GetLane(y);
    m[0] = hn::Max(m[0], y);
  }
  return {scratch, begin, teacher.count, MaxOf(m)};
}

// Statistics of tile `index`.
inline TileStats ComputeTile(const TeacherRow& t, int64_t index) {
  HWY_ALIGN float scratch[kTileColumns];
  return StatsOfTile(t.row, LoadTile(t, index * kTileColumns, scratch), {});
}

// What the statistics of all tiles say of the row.
inline void Finish(TeacherRow& t, const TileStats& total) {
  t.out = FinishRow(t.row, total, {});
  if (t.mixed) {
    t.out.lse += (t.shift + t.beyond * (t.shift - t.reference_shift)) / t.row.temperature;
  }
}

// Both sides of a row, and what is asked of them.
struct RowPair {
  StudentRow student;
  TeacherRow teacher;
  int32_t kind;
  float beta, alpha;
};

// A measure is not normalised; NaN where it holds one.
inline float TeacherMax(const TeacherRow& t) { return t.measure ? 0 : t.out.max; }
inline float TeacherLogSum(const TeacherRow& t) { return t.measure && isfinite(t.out.log_sum) ? 0 : t.out.log_sum; }

// Probabilities and log-probs of one side from its y.
struct SideExponent {
  Exponent exponent;
  V bias, norm;

  SideExponent(float max, float log_sum, float temperature) : exponent(max, temperature) {
    const float b = fmaf(exponent.delta, 0.693147181f, log_sum);
    bias = hn::Set(kF32, b);
    norm = hn::Set(kF32, expf(-b));
  }

  explicit SideExponent(const StudentRow& s) : SideExponent(s.out.max, s.out.log_sum, s.row.temperature) {}

  explicit SideExponent(const TeacherRow& t) : SideExponent(TeacherMax(t), TeacherLogSum(t), t.row.temperature) {}

  HWY_INLINE void operator()(V y, V& p, V& log_p) const {
    const V x2 = exponent(y);
    p = hn::Mul(Exp2(x2), norm);
    log_p = hn::MulSub(x2, hn::Set(kF32, 0.693147181f), bias);
  }
};

// Columns of both sides from their y, at the precision that the kind needs.
template <bool kPrecise>
struct PairExponent {
  SideExponent student, teacher;

  explicit PairExponent(const RowPair& pair) : student(pair.student), teacher(pair.teacher) {}

  HWY_INLINE DivergenceColumn<V> operator()(V ys, V yt) const {
    DivergenceColumn<V> c;
    student(ys, c.p, c.lp);
    teacher(yt, c.q, c.lq);
    c.s = hn::Sub(c.lp, c.lq);
    c.s_low = hn::Zero(kF32);
    return c;
  }
};

// Log-probs and their difference in f64, each as an f32 and what that leaves. The exponentials stay f32.
template <>
struct PairExponent<true> {
  using F64 = hn::Repartition<double, F32>;
  using D = hn::Vec<F64>;

  struct Side {
    D max, inv_temperature, log_sum;
    Side(float m, float l, float t)
        : max(hn::Set(F64(), static_cast<double>(m))),
          inv_temperature(hn::Set(F64(), 1 / static_cast<double>(t))),
          log_sum(hn::Set(F64(), static_cast<double>(l))) {}
    HWY_INLINE D operator()(D y) const { return (y - max) * inv_temperature - log_sum; }
  };

  // A vector of f64 as two.
  struct Wide {
    D lower, upper;
  };

  Side student, teacher;

  explicit PairExponent(const RowPair& pair)
      : student(pair.student.out.max, pair.student.out.log_sum, pair.student.row.temperature),
        teacher(TeacherMax(pair.teacher), TeacherLogSum(pair.teacher), pair.teacher.row.temperature) {}

  static HWY_INLINE Wide LogProb(const Side& side, V y) {
    return {side(hn::PromoteTo(F64(), hn::LowerHalf(y))),
            side(hn::PromoteTo(F64(), hn::UpperHalf(hn::Half<F32>(), y)))};
  }

  static HWY_INLINE V Narrow(D lower, D upper) {
    const hn::Half<F32> half;
    return hn::Combine(kF32, hn::DemoteTo(half, upper), hn::DemoteTo(half, lower));
  }

  static HWY_INLINE void Split(const Wide& w, V& high, V& low) {
    high = Narrow(w.lower, w.upper);
    const D lower = w.lower - hn::PromoteTo(F64(), hn::LowerHalf(high));
    const D upper = w.upper - hn::PromoteTo(F64(), hn::UpperHalf(hn::Half<F32>(), high));
    low = hn::IfThenZeroElse(hn::Eq(hn::Abs(high), hn::Set(kF32, INFINITY)), Narrow(lower, upper));
  }

  HWY_INLINE DivergenceColumn<V> operator()(V ys, V yt) const {
    const Wide lp = LogProb(student, ys), lq = LogProb(teacher, yt);
    DivergenceColumn<V> c;
    V p_low, q_low;
    Split(lp, c.lp, p_low);
    Split(lq, c.lq, q_low);
    Split({lp.lower - lq.lower, lp.upper - lq.upper}, c.s, c.s_low);
    c.p = Exp(c.lp);
    c.p = hn::MulAdd(c.p, p_low, c.p);
    c.q = Exp(c.lq);
    c.q = hn::MulAdd(c.q, q_low, c.q);
    return c;
  }
};

// A sum over a tile, lane by lane. Terms run into `now`, which is put aside after every run of
// blocks: one large term among thousands of small ones would round them all away one by one. The
// lanes themselves are summed in f64.
struct LaneSums {
  V now[kUnroll], aside[kUnroll];

  LaneSums() {
    for (int u = 0; u < kUnroll; ++u) now[u] = aside[u] = hn::Zero(kF32);
  }

  HWY_INLINE void Add(int u, V term) { now[u] = hn::Add(now[u], term); }

  HWY_INLINE void PutAside() {
    for (int u = 0; u < kUnroll; ++u) {
      aside[u] = hn::Add(aside[u], now[u]);
      now[u] = hn::Zero(kF32);
    }
  }

  double Total() {
    PutAside();
    float lanes[kBlock];
    for (int u = 0; u < kUnroll; ++u) hn::StoreU(aside[u], kF32, lanes + u * kLanes);
    double total = 0;
    for (const float lane : lanes) total += static_cast<double>(lane);
    return total;
  }
};

// Calls body(student y, teacher y, column) over a tile, padded with -inf on both sides, and
// after_run() after every run of blocks.
template <class Body, class AfterRun>
HWY_INLINE void ForEachPair(const Tile& student, const Tile& teacher, Body body, AfterRun after_run) {
  constexpr int64_t kRun = 16 * kBlock;
  int64_t j = 0;
  for (; j + kBlock <= student.count; j += kBlock) {
    for (int u = 0; u < kUnroll; ++u) {
      body(Load(student.y + j + u * kLanes), Load(teacher.y + j + u * kLanes), j + u * kLanes, u);
    }
    if (j % kRun == kRun - kBlock) after_run();
  }
  if (j == student.count) return;
  float a[kBlock], b[kBlock];
  for (int64_t i = 0; i < kBlock; ++i) {
    const bool in = j + i < student.count;
    a[i] = in ? student.y[j + i] : -INFINITY;
    b[i] = in ? teacher.y[j + i] : -INFINITY;
  }
  for (int u = 0; u < kUnroll; ++u) body(Load(a + u * kLanes), Load(b + u * kLanes), j + u * kLanes, u);
}

inline DivergenceTotals SumTile(const RowPair& pair, int64_t index) {
  HWY_ALIGN float student_scratch[kTileColumns];
  HWY_ALIGN float teacher_scratch[kTileColumns];
  const Tile s = LoadTile(pair.student.row, index * kTileColumns, student_scratch);
  const Tile t = LoadTile(pair.teacher, index * kTileColumns, teacher_scratch);
  const auto n = NumbersOf(hn::Zero(kF32), static_cast<double>(pair.beta), static_cast<double>(pair.alpha));
  LaneSums value, slope, student_mass, teacher_mass;
  WithKind(pair.kind, [&](auto kind) HWY_ATTR {
    const PairExponent<NeedsPreciseRatio(kind.kValue)> column(pair);
    const auto put_aside = [&]() HWY_ATTR {
      value.PutAside();
      slope.PutAside();
      student_mass.PutAside();
      teacher_mass.PutAside();
    };
    const auto body = [&](V ys, V yt, int64_t, int u) HWY_ATTR {
      const DivergenceColumn<V> c = column(ys, yt);
      const auto term = TermOf<kind.kValue>(c, n);
      value.Add(u, term.value);
      if constexpr (SumsSlopes(kind.kValue)) slope.Add(u, term.slope);
      student_mass.Add(u, c.p);
      teacher_mass.Add(u, c.q);
    };
    ForEachPair(s, t, body, put_aside);
  });
  return {value.Total(), slope.Total(), student_mass.Total(), teacher_mass.Total()};
}

// `weight` is the upstream gradient of the row's value, before the chain rule's 1 / T.
template <class T>
void GradientTile(const RowPair& pair, const DivergenceTotals& sums, float weight, int64_t index, T* out_row) {
  HWY_ALIGN float student_scratch[kTileColumns];
  HWY_ALIGN float teacher_scratch[kTileColumns];
  const Tile s = LoadTile(pair.student.row, index * kTileColumns, student_scratch);
  const Tile t = LoadTile(pair.teacher, index * kTileColumns, teacher_scratch);
  const auto n = NumbersOf(hn::Zero(kF32), static_cast<double>(pair.beta), static_cast<double>(pair.alpha));
  const double factor = MassFactor(pair.kind, static_cast<double>(pair.alpha), sums, pair.teacher.measure);
  const V scale =
      hn::Set(kF32, static_cast<float>(factor * static_cast<double>(weight / pair.student.row.temperature)));
  const V mean = hn::Set(kF32, static_cast<float>(MeanSlope(pair.kind, sums)));
  const float cap = pair.student.row.softcap;
  T* out = out_row + s.begin;
  WithKind(pair.kind, [&](auto kind) HWY_ATTR {
    const PairExponent<NeedsPreciseRatio(kind.kValue)> column(pair);
    const auto body = [&](V ys, V yt, int64_t j, int) HWY_ATTR {
      const DivergenceColumn<V> c = column(ys, yt);
      V d = hn::Mul(scale, hn::NegMulAdd(c.p, mean, TermOf<kind.kValue>(c, n).slope));
      if (cap != 0) {
        const V u = hn::Div(ys, hn::Set(kF32, cap));
        d = hn::Mul(d, hn::NegMulAdd(u, u, hn::Set(kF32, 1.0f)));
      }
      // A column that the student cannot reach stays where it is.
      d = hn::IfThenZeroElse(hn::Eq(ys, hn::Set(kF32, -INFINITY)), d);
      if (j + kLanes <= s.count) {
        Store(d, out + j);
      } else if (j < s.count) {
        T last[kLanes];
        Store(d, last);
        memcpy(out + j, last, static_cast<size_t>(s.count - j) * sizeof(T));
      }
    };
    ForEachPair(s, t, body, [] {});
  });
}

// The same for a row at `out` of type `dtype`.
inline void GradientTile(const RowPair& pair, const DivergenceTotals& sums, float weight, int64_t index, uint64_t out,
                         int32_t dtype) {
  switch (dtype) {
    case POLKA_BF16:
      return GradientTile(pair, sums, weight, index, reinterpret_cast<Bf16*>(out));
    case POLKA_F16:
      return GradientTile(pair, sums, weight, index, reinterpret_cast<Half*>(out));
    default:
      return GradientTile(pair, sums, weight, index, reinterpret_cast<float*>(out));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#endif
