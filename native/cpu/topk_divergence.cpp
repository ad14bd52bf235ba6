// topk_divergence: student logits [rows, vocabulary] and K columns of the teacher a row -> one value per
// row, the loss, and the gradient for the student.
//
// The row is read once from memory (V s bytes) and its gradient, where one is wanted, written from the
// cache. The K columns are left out of the sums over the vocabulary and added in f64: so the tail's
// mass keeps its digits however small it is, and the entries keep those of a confident student. What
// is done with the entries themselves is f64 too; there are few of them.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "topk_divergence.cpp"
#include "hwy/foreach_target.h"

#include "dispatch.h"
#include "parallel.h"
#include "simd/softmax_row-inl.h"
#include "status.h"
#include "topk_divergence_arguments.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

#include "divergence.inl"

// One row on its way through: entries in the order of their columns.
struct TopkRow {
  SoftmaxRow row;
  int64_t count;
  TopkEntry entries[POLKA_TOPK_MAX];
  float y[POLKA_TOPK_MAX];       // the student's, after softcap and mask
  double lp[POLKA_TOPK_MAX];     // ln p
  double lq[POLKA_TOPK_MAX];     // ln q
  double slope[POLKA_TOPK_MAX];  // then the derivative for x, y / T
  double max, log_sum, entropy, tail_lp;
  double student_mass, teacher_mass, value;
  double rest;  // the derivative for x of every other column over its p
};

// The tile without the entries' columns, whose y are kept.
Tile WithoutEntries(TopkRow& t, int64_t& next, Tile tile, float* scratch) {
  const int64_t end = tile.begin + tile.count;
  if (next == t.count || t.entries[next].column >= end) return tile;
  if (tile.y != scratch) memcpy(scratch, tile.y, static_cast<size_t>(tile.count) * sizeof(float));
  for (; next < t.count && t.entries[next].column < end; ++next) {
    float& y = scratch[t.entries[next].column - tile.begin];
    t.y[next] = y;
    y = -INFINITY;
  }
  const V low = hn::Set(kF32, -INFINITY);
  V m[kUnroll] = {low, low, low, low};
  ForEachVector(scratch, tile.count, [&](int64_t, V v, int u) HWY_ATTR { m[u] = hn::Max(m[u], v); });
  return {scratch, tile.begin, tile.count, MaxOf(m)};
}

// Maximum, log-sum and entropy of the whole row, from the sums without the entries and the entries.
void FinishStudent(TopkRow& t, const SoftmaxStats& others) {
  const double temperature = static_cast<double>(t.row.temperature), none = static_cast<double>(-INFINITY);
  int64_t largest = -1;
  t.max = static_cast<double>(others.max);
  for (int64_t k = 0; k < t.count; ++k) {
    if (static_cast<double>(t.y[k]) > t.max) {
      t.max = static_cast<double>(t.y[k]);
      largest = k;
    }
  }
  const double shift = (static_cast<double>(others.max) - t.max) / temperature;
  const bool empty = static_cast<double>(others.max) == none;
  const double rest = static_cast<double>(others.rest) * (empty ? 1 : exp(shift));
  // The largest term, 1, is added last where it is an entry: of a confident row it is nearly all.
  double sum = rest,
         moment = empty ? rest
                        : exp(shift) * (static_cast<double>(others.moment) + shift * static_cast<double>(others.rest));
  for (int64_t k = 0; k < t.count; ++k) {
    const double x = (static_cast<double>(t.y[k]) - t.max) / temperature;
    if (k != largest) sum += exp(x);
    if (x != none) moment += exp(x) * x;
  }
  t.log_sum = t.max == none ? static_cast<double>(NAN) : largest >= 0 ? log1p(sum) : log(sum);
  t.entropy = t.log_sum - moment / (largest >= 0 ? 1 + sum : sum);
  t.tail_lp = empty ? rest + none : log(static_cast<double>(others.rest)) + shift - t.log_sum;
  t.student_mass = 0;
  for (int64_t k = 0; k < t.count; ++k) {
    t.lp[k] = (static_cast<double>(t.y[k]) - t.max) / temperature - t.log_sum;
    t.student_mass += exp(t.lp[k]);
  }
}

// The value, and the derivatives for x.
void Compare(const polka_topk_divergence_args& a, TopkRow& t) {
  const bool renormalized = a.tail == POLKA_TAIL_RENORMALIZED;
  // Where no other column has mass there is no bucket, whatever rounding left the teacher.
  const bool bucket = a.tail == POLKA_TAIL_BUCKET && t.tail_lp != static_cast<double>(-INFINITY);
  const double beta = static_cast<double>(a.beta);
  const auto n = NumbersOf(0.0, beta, static_cast<double>(a.alpha));
  const double plain = a.tail == POLKA_TAIL_NONE ? PlainFactor(a.kind, beta) : 0;
  const double lp_shift = renormalized ? log(t.student_mass) : 0, lq_shift = renormalized ? log(t.teacher_mass) : 0;
  double value = 0, slopes = 0, student = 0, teacher = 0;
  const auto term = [&](double lp, double lq) {
    const double p = exp(lp), q = exp(lq);
    DivergenceTerm<double> result = {};
    WithKind(a.kind, [&](auto kind) {
      result = TermOf<kind.kValue>(DivergenceColumn<double>{p, q, lp, lq, lp - lq, 0}, n);
    });
    value += result.value;
    student += p;
    teacher += q;
    const double slope = result.slope - plain * p;
    slopes += slope;
    return slope;
  };
  for (int64_t k = 0; k < t.count; ++k) t.slope[k] = term(t.lp[k] - lp_shift, t.lq[k] - lq_shift);
  const double tail_p = exp(t.tail_lp);
  double tail_slope = 0;
  if (bucket) {
    const double tail_q = t.teacher_mass >= 1 ? 0 : 1 - t.teacher_mass;
    tail_slope = term(t.tail_lp, log(tail_q));
  }
  t.value = value + plain * (teacher - student);
  if (a.tail != POLKA_TAIL_NONE && t.value <= 0) t.value = 0;
  // Relative to the entries' own mass where that is all there is.
  const double mean = a.tail == POLKA_TAIL_NONE ? slopes : slopes / student;
  for (int64_t k = 0; k < t.count; ++k) t.slope[k] -= exp(t.lp[k] - lp_shift) * mean;
  t.rest = renormalized ? 0 : (bucket && tail_p != 0 ? tail_slope / tail_p : 0) - mean;
}

// The share of the entries that fewer than K columns exceed. Only columns above the lowest entry still
// in question are looked at one by one, and each entry falls out after K of them at the latest.
float Overlap(const TopkRow& t) {
  float sorted[POLKA_TOPK_MAX];  // the entries' y, largest first
  memcpy(sorted, t.y, static_cast<size_t>(t.count) * sizeof(float));
  for (int64_t i = 1; i < t.count; ++i) {
    const float y = sorted[i];
    int64_t j = i;
    for (; j > 0 && sorted[j - 1] < y; --j) sorted[j] = sorted[j - 1];
    sorted[j] = y;
  }
  int32_t above[POLKA_TOPK_MAX] = {0};  // columns above entry i and not above entry i - 1
  int64_t last = t.count - 1, columns = 0;
  while (last >= 0 && sorted[last] == -INFINITY) --last;
  HWY_ALIGN float scratch[kTileColumns];
  for (int64_t begin = 0; begin < t.row.columns && last >= 0; begin += kTileColumns) {
    const Tile tile = LoadTile(t.row, begin, scratch);
    ForEachVector(tile.y, tile.count, [&](int64_t, V v, int) HWY_ATTR {
      if (last < 0 || hn::AllFalse(kF32, hn::Gt(v, hn::Set(kF32, sorted[last])))) return;
      float lanes[kLanes];
      hn::StoreU(v, kF32, lanes);
      for (const float y : lanes) {
        if (last < 0 || !(y > sorted[last])) continue;
        int64_t low = 0, high = last;
        while (low < high) {
          const int64_t middle = (low + high) / 2;
          if (y > sorted[middle]) {
            high = middle;
          } else {
            low = middle + 1;
          }
        }
        ++above[low];
        ++columns;
        for (; last >= 0 && columns >= t.count; --last) columns -= above[last];
      }
    });
  }
  return static_cast<float>(last + 1) / static_cast<float>(t.count);
}

template <class T>
void WriteTopkGradient(const TopkRow& t, float scale, T* out) {
  const float x_scale = scale / t.row.temperature;
  const Exponent exponent(static_cast<float>(t.max), t.row.temperature);
  const double bias = static_cast<double>(exponent.delta) * 0.6931471805599453 + t.log_sum;
  const SoftmaxGradient g = {static_cast<float>(exp(-bias) * t.rest * static_cast<double>(x_scale)), 0, 0};
  HWY_ALIGN float scratch[kTileColumns];
  for (int64_t begin = 0; begin < t.row.columns; begin += kTileColumns) {
    const Tile tile = LoadTile(t.row, begin, scratch);
    if (t.row.softcap == 0) {
      WriteGradient<false>(t.row, tile, exponent, g, out + begin);
    } else {
      WriteGradient<true>(t.row, tile, exponent, g, out + begin);
    }
  }
  for (int64_t k = 0; k < t.count; ++k) {
    const float u = t.row.softcap == 0 ? 0 : t.y[k] / t.row.softcap;
    const float d = static_cast<float>(t.slope[k] * static_cast<double>(x_scale)) * (1 - u * u);
    StoreOne(t.y[k] == -INFINITY ? 0.0f : d, out + t.entries[k].column);
  }
}

void PutRow(const polka_topk_divergence_args& a, int64_t r, const TopkRow& t, float overlap) {
  const auto put = [r](uint64_t address, double v) {
    if (address != 0) reinterpret_cast<float*>(address)[r] = static_cast<float>(v);
  };
  put(a.value, t.value);
  put(a.student_entropy, t.entropy);
  put(a.student_lse, t.max / static_cast<double>(t.row.temperature) + t.log_sum);
  put(a.student_mass, t.student_mass);
  put(a.teacher_mass, t.teacher_mass);
  put(a.overlap, static_cast<double>(overlap));
}

void DivergenceOfRow(const polka_topk_divergence_args& a, int64_t r, float* values) {
  TopkRow t;
  t.row = MakeSoftmaxRow(a.student, a.softmax, r, -1);
  t.count = a.entries;
  SortEntries(a, r, t.entries);
  t.teacher_mass = 0;
  for (int64_t k = 0; k < t.count; ++k) {
    t.lq[k] =
        static_cast<double>(reinterpret_cast<const float*>(a.teacher_log_prob)[r * a.entries + t.entries[k].place]);
    t.teacher_mass += exp(t.lq[k]);
  }
  HWY_ALIGN float scratch[kTileColumns];
  TileStats total = EmptyTile();
  int64_t next = 0;
  for (int64_t i = 0; i < TileCount(t.row.columns); ++i) {
    const Tile tile = WithoutEntries(t, next, LoadTile(t.row, i * kTileColumns, scratch), scratch);
    total = MergeTiles(t.row, total, StatsOfTile(t.row, tile, {true, false, false}));
  }
  FinishStudent(t, total.stats);
  Compare(a, t);
  values[r] = static_cast<float>(t.value);
  PutRow(a, r, t, a.overlap == 0 ? 0 : isnan(t.log_sum) ? NAN : Overlap(t));
  if (a.d_student.data == 0) return;
  // An infinite divergence has no gradient.
  if (a.divisor == 0 || t.value == static_cast<double>(INFINITY)) return ZeroRow(a.d_student, r, 0);
  const float row_weight = a.row_weight == 0 ? 1 : reinterpret_cast<const float*>(a.row_weight)[r];
  const float scale = static_cast<float>(row_weight * static_cast<double>(GradientScale(a.gradient_scale)) / a.divisor);
  const uint64_t out = RowAddress(a.d_student, r);
  switch (a.d_student.dtype) {
    case POLKA_BF16:
      WriteTopkGradient(t, scale, reinterpret_cast<Bf16*>(out));
      break;
    case POLKA_F16:
      WriteTopkGradient(t, scale, reinterpret_cast<Half*>(out));
      break;
    default:
      WriteTopkGradient(t, scale, reinterpret_cast<float*>(out));
  }
  ZeroRow(a.d_student, r, t.row.columns);
}

void TopkDivergence(polka_topk_divergence_args& a, int32_t threads, float* values) {
  a.exec.ran_target = kThisTarget;
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!Masked(a.mask, r)) {
        DivergenceOfRow(a, r, values);
        continue;
      }
      values[r] = 0;
      for (const uint64_t out :
           {a.value, a.student_entropy, a.student_lse, a.student_mass, a.teacher_mass, a.overlap}) {
        if (out != 0) reinterpret_cast<float*>(out)[r] = 0;
      }
      if (a.d_student.data != 0) ZeroRow(a.d_student, r, 0);
    }
  };
  ParallelFor(threads, a.student.rows, RowsPerChunk(a.student.cols * DtypeBytes(a.student.dtype)), rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_topk_divergence_args&, int32_t, float*)> kTopkDivergence = {
    N_SSE4::TopkDivergence, N_AVX2::TopkDivergence, N_AVX3::TopkDivergence};

// The values' own place in the workspace, where no output serves.
int64_t ValueBytes(const polka_topk_divergence_args& a) {
  return a.value == 0 ? (a.student.rows * 4 + 63) / 64 * 64 : 0;
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_topk_divergence_workspace(polka_topk_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckTopkDivergence(args));
  args->exec.workspace_needed = ValueBytes(*args);
  return POLKA_OK;
}

extern "C" polka_status polka_topk_divergence(polka_topk_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckTopkDivergence(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckWorkspace(args->exec, ValueBytes(*args)));
  double* loss = reinterpret_cast<double*>(args->loss);
  if (loss != nullptr) *loss = 0;
  const int64_t rows = args->student.rows;
  if (rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  float* values = reinterpret_cast<float*>(args->value != 0 ? args->value : args->exec.workspace);
  const int64_t bytes = rows * args->student.cols * 2 * DtypeBytes(args->student.dtype);
  kTopkDivergence.For(target)(*args, ThreadsFor(args->exec, bytes), values);
  if (loss == nullptr || args->divisor == 0) return POLKA_OK;
  const float* weight = reinterpret_cast<const float*>(args->row_weight);
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (!Masked(args->mask, r))
      sum += (weight == nullptr ? 1.0 : static_cast<double>(weight[r])) * static_cast<double>(values[r]);
  }
  *loss = sum / args->divisor;
  return POLKA_OK;
}
#endif  // HWY_ONCE
