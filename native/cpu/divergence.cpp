// divergence: student and teacher logits [rows, vocabulary] -> one value per row, the loss, and the
// gradient for the student.
//
// Each row is read once from memory (2 V s bytes) for both rows' statistics; the value and the
// gradient then read it again from the cache, because every kind is summed from the normalised
// log-probs of both sides: the forms that need no second look cancel where the two agree.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "divergence.cpp"
#include "hwy/foreach_target.h"

#include "cuda_backend.h"
#include "dispatch.h"
#include "parallel.h"
#include "simd/softmax_row-inl.h"
#include "status.h"

HWY_BEFORE_NAMESPACE();
namespace polka {
namespace HWY_NAMESPACE {

#include "divergence.inl"

// One side of a row with its statistics.
struct Side {
  SoftmaxRow row;
  SoftmaxOutputs out;
};

// Probabilities and log-probs of one side from its y.
struct SideExponent {
  Exponent exponent;
  V bias, norm;

  // `mass`: what the probabilities sum to before, 1 but for rounding.
  explicit SideExponent(const Side& side, double mass = 1) : exponent(side.out.max, side.row.temperature) {
    const float b = fmaf(exponent.delta, 0.693147181f, side.out.log_sum);
    bias = hn::Set(kF32, b);
    norm = hn::Set(kF32, static_cast<float>(static_cast<double>(expf(-b)) / mass));
  }

  HWY_INLINE void operator()(V y, V& p, V& log_p) const {
    const V x2 = exponent(y);
    p = hn::Mul(Exp2(x2), norm);
    log_p = hn::MulSub(x2, hn::Set(kF32, 0.693147181f), bias);
  }
};

// Sums over a tile or a row: the value; for JSD K = KL(p || m); for the KLs the mass of both sides.
struct Sums {
  double value, student_kl, student_mass, teacher_mass;
};

Sums operator+(const Sums& a, const Sums& b) {
  return {a.value + b.value, a.student_kl + b.student_kl, a.student_mass + b.student_mass,
          a.teacher_mass + b.teacher_mass};
}

struct Constants {
  V zero = hn::Zero(kF32);
  V beta, rest;  // rest = 1 - beta

  explicit Constants(float b) : beta(hn::Set(kF32, b)), rest(hn::Set(kF32, 1 - b)) {}
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

Sums SumTile(const polka_divergence_args& a, const Side& student, const Side& teacher, int64_t index) {
  HWY_ALIGN float student_scratch[kTileColumns];
  HWY_ALIGN float teacher_scratch[kTileColumns];
  const Tile s = LoadTile(student.row, index * kTileColumns, student_scratch);
  const Tile t = LoadTile(teacher.row, index * kTileColumns, teacher_scratch);
  const SideExponent student_exp(student), teacher_exp(teacher);
  const Constants c(a.beta);
  LaneSums value, student_kl, student_mass, teacher_mass;
  const auto over = [&](auto term) HWY_ATTR {
    const auto put_aside = [&]() HWY_ATTR {
      value.PutAside();
      student_kl.PutAside();
      student_mass.PutAside();
      teacher_mass.PutAside();
    };
    const auto body = [&](V ys, V yt, int64_t, int u) HWY_ATTR {
      V p, lp, q, lq;
      student_exp(ys, p, lp);
      teacher_exp(yt, q, lq);
      term(p, lp, q, lq, u);
    };
    ForEachPair(s, t, body, put_aside);
  };
  switch (a.kind) {
    case POLKA_FORWARD_KL:
      over([&](V p, V lp, V q, V lq, int u) HWY_ATTR {
        value.Add(u, ForwardKlTerm(p, q, lp, lq, c.zero));
        student_mass.Add(u, p);
        teacher_mass.Add(u, q);
      });
      break;
    case POLKA_REVERSE_KL:
      over([&](V p, V lp, V q, V lq, int u) HWY_ATTR {
        value.Add(u, ReverseKlTerm(p, q, lp, lq, c.zero));
        student_mass.Add(u, p);
        teacher_mass.Add(u, q);
      });
      break;
    default:
      over([&](V p, V lp, V q, V lq, int u) HWY_ATTR {
        const auto ratio = LogRatioToMixture(lp, lq, c.beta, c.rest, c.zero);
        value.Add(u, JsdTerm(p, q, ratio, c.beta, c.rest, c.zero));
        student_kl.Add(u, JsdStudentTerm(p, ratio, c.zero));
      });
  }
  return {value.Total(), student_kl.Total(), student_mass.Total(), teacher_mass.Total()};
}

template <class T>
void GradientTileTo(const polka_divergence_args& a, const Side& student, const Side& teacher, const Sums& sums,
                    float weight, int64_t index, T* out_row) {
  HWY_ALIGN float student_scratch[kTileColumns];
  HWY_ALIGN float teacher_scratch[kTileColumns];
  const Tile s = LoadTile(student.row, index * kTileColumns, student_scratch);
  const Tile t = LoadTile(teacher.row, index * kTileColumns, teacher_scratch);
  const bool kl = a.kind != POLKA_JSD;
  const SideExponent student_exp(student, kl ? sums.student_mass : 1), teacher_exp(teacher, kl ? sums.teacher_mass : 1);
  const Constants c(a.beta);
  const V scale = hn::Set(kF32, weight / student.row.temperature);
  const V mean = hn::Set(kF32, static_cast<float>(ReverseKlMean(sums.value, sums.student_mass, sums.teacher_mass)));
  const V student_kl = hn::Set(kF32, static_cast<float>(sums.student_kl));
  const float cap = student.row.softcap;
  T* out = out_row + s.begin;
  const auto over = [&](auto gradient) HWY_ATTR {
    const auto body = [&](V ys, V yt, int64_t j, int) HWY_ATTR {
      V p, lp, q, lq;
      student_exp(ys, p, lp);
      teacher_exp(yt, q, lq);
      V d = hn::Mul(scale, gradient(p, lp, q, lq));
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
  };
  switch (a.kind) {
    case POLKA_FORWARD_KL:
      return over([&](V p, V, V q, V) HWY_ATTR { return ForwardKlGradient(p, q); });
    case POLKA_REVERSE_KL:
      return over([&](V p, V lp, V, V lq) HWY_ATTR { return ReverseKlGradient(p, lp, lq, mean, c.zero); });
    default:
      return over([&](V p, V lp, V, V lq) HWY_ATTR {
        const auto ratio = LogRatioToMixture(lp, lq, c.beta, c.rest, c.zero);
        return JsdGradient(p, ratio, student_kl, c.rest, c.zero);
      });
  }
}

void GradientTileOf(const polka_divergence_args& a, const Side& student, const Side& teacher, const Sums& sums,
                    int64_t r, int64_t index) {
  const float row_weight = a.row_weight == 0 ? 1 : reinterpret_cast<const float*>(a.row_weight)[r];
  const float weight =
      static_cast<float>(row_weight * static_cast<double>(GradientScale(a.gradient_scale)) / a.divisor);
  const uint64_t out = RowAddress(a.d_student, r);
  switch (a.d_student.dtype) {
    case POLKA_BF16:
      return GradientTileTo(a, student, teacher, sums, weight, index, reinterpret_cast<Bf16*>(out));
    case POLKA_F16:
      return GradientTileTo(a, student, teacher, sums, weight, index, reinterpret_cast<Half*>(out));
    default:
      return GradientTileTo(a, student, teacher, sums, weight, index, reinterpret_cast<float*>(out));
  }
}

// What is kept of one row between the steps when its tiles are shared out among threads.
struct TilePartial {
  TileStats student, teacher;
  Sums sums;
};

SoftmaxRow StudentRow(const polka_divergence_args& a, int64_t r) {
  return MakeSoftmaxRow(a.student, a.student_softmax, r, -1);
}

SoftmaxRow TeacherRow(const polka_divergence_args& a, int64_t r) {
  return MakeSoftmaxRow(a.teacher, a.teacher_softmax, r, -1);
}

void PutRow(const polka_divergence_args& a, int64_t r, const SoftmaxOutputs& student, const SoftmaxOutputs& teacher,
            float value) {
  const auto put = [r](uint64_t address, float v) {
    if (address != 0) reinterpret_cast<float*>(address)[r] = v;
  };
  put(a.value, value);
  put(a.student_entropy, student.entropy);
  put(a.student_lse, student.lse);
  put(a.teacher_lse, teacher.lse);
}

// A KL is a mean under its left side. Rounding can leave a sum of terms >= 0 just below 0; a NaN
// stays.
float ValueOf(const polka_divergence_args& a, const Sums& sums) {
  const double mass = a.kind == POLKA_FORWARD_KL   ? sums.teacher_mass
                      : a.kind == POLKA_REVERSE_KL ? sums.student_mass
                                                   : 1;
  const float value = static_cast<float>(sums.value / mass);
  return value < 0 ? 0 : value;
}

// An infinite divergence has no gradient: 0, as for a target at -inf.
bool HasGradient(const polka_divergence_args& a, const Sums& sums) {
  return a.divisor != 0 && sums.value != static_cast<double>(INFINITY);
}

void DivergenceRow(const polka_divergence_args& a, int64_t r, float* values) {
  const SoftmaxWants student_wants = {a.student_entropy != 0, false, false};
  Side student = {StudentRow(a, r), {}};
  Side teacher = {TeacherRow(a, r), {}};
  student.out = ForwardRow(student.row, student_wants);
  teacher.out = ForwardRow(teacher.row, {});
  const int64_t tiles = TileCount(student.row.columns);
  Sums sums = {};
  for (int64_t i = 0; i < tiles; ++i) sums = sums + SumTile(a, student, teacher, i);
  values[r] = ValueOf(a, sums);
  PutRow(a, r, student.out, teacher.out, values[r]);
  if (a.d_student.data == 0) return;
  if (!HasGradient(a, sums)) return ZeroRow(a.d_student, r, 0);
  for (int64_t i = 0; i < tiles; ++i) GradientTileOf(a, student, teacher, sums, r, i);
  ZeroRow(a.d_student, r, student.row.columns);
}

void DivergenceByTile(const polka_divergence_args& a, int32_t threads, float* values, TilePartial* partial) {
  const SoftmaxWants student_wants = {a.student_entropy != 0, false, false};
  const int64_t tiles = TileCount(ValidVocab(a.student_softmax, a.student));
  const int64_t items = a.student.rows * tiles;
  const auto sides = [&](int64_t r, Side& student, Side& teacher) {
    student.row = StudentRow(a, r);
    teacher.row = TeacherRow(a, r);
    TileStats s = EmptyTile(), t = EmptyTile();
    for (int64_t i = 0; i < tiles; ++i) {
      s = MergeTiles(student.row, s, partial[r * tiles + i].student);
      t = MergeTiles(teacher.row, t, partial[r * tiles + i].teacher);
    }
    student.out = FinishRow(student.row, s, student_wants);
    teacher.out = FinishRow(teacher.row, t, {});
  };
  auto statistics = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (Masked(a.mask, i / tiles)) continue;
      partial[i].student = ComputeTile(StudentRow(a, i / tiles), i % tiles, student_wants);
      partial[i].teacher = ComputeTile(TeacherRow(a, i / tiles), i % tiles, {});
    }
  };
  ParallelFor(threads, items, 1, statistics);
  auto value = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (Masked(a.mask, i / tiles)) continue;
      Side student, teacher;
      sides(i / tiles, student, teacher);
      partial[i].sums = SumTile(a, student, teacher, i % tiles);
    }
  };
  ParallelFor(threads, items, 1, value);
  const auto sums_of = [&](int64_t r) {
    Sums sums = {};
    for (int64_t i = 0; i < tiles; ++i) sums = sums + partial[r * tiles + i].sums;
    return sums;
  };
  for (int64_t r = 0; r < a.student.rows; ++r) {
    if (Masked(a.mask, r)) continue;
    Side student, teacher;
    sides(r, student, teacher);
    values[r] = ValueOf(a, sums_of(r));
    PutRow(a, r, student.out, teacher.out, values[r]);
  }
  if (a.d_student.data == 0) return;
  auto gradient = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = i / tiles, tile = i % tiles;
      if (Masked(a.mask, r)) continue;
      const Sums sums = sums_of(r);
      if (!HasGradient(a, sums)) {
        if (tile == 0) ZeroRow(a.d_student, r, 0);
        continue;
      }
      Side student, teacher;
      sides(r, student, teacher);
      GradientTileOf(a, student, teacher, sums, r, tile);
      if (tile == 0) ZeroRow(a.d_student, r, student.row.columns);
    }
  };
  ParallelFor(threads, items, 1, gradient);
}

void Divergence(polka_divergence_args& a, int32_t threads, float* values, void* partial) {
  a.exec.ran_target = kThisTarget;
  for (int64_t r = 0; r < a.student.rows; ++r) {
    if (!Masked(a.mask, r)) continue;
    values[r] = 0;
    PutRow(a, r, {}, {}, 0);
    if (a.d_student.data != 0) ZeroRow(a.d_student, r, 0);
  }
  if (partial != nullptr) return DivergenceByTile(a, threads, values, static_cast<TilePartial*>(partial));
  auto rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (!Masked(a.mask, r)) DivergenceRow(a, r, values);
    }
  };
  ParallelFor(threads, a.student.rows, RowsPerChunk(2 * a.student.cols * DtypeBytes(a.student.dtype)), rows);
}

int64_t TilePartialBytes() { return sizeof(TilePartial); }

}  // namespace HWY_NAMESPACE
}  // namespace polka
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace polka {
namespace {

constexpr Kernel<void (*)(polka_divergence_args&, int32_t, float*, void*)> kDivergence = {
    N_SSE4::Divergence, N_AVX2::Divergence, N_AVX3::Divergence};

polka_status CheckDivergence(const polka_divergence_args* a) {
  POLKA_TRY(CheckStruct(a, a == nullptr ? 0 : a->struct_size, sizeof *a, "divergence"));
  POLKA_TRY(CheckExec(a->exec, true));
  POLKA_TRY(CheckMatrix(a->student, "student"));
  POLKA_TRY(CheckMatrix(a->teacher, "teacher"));
  POLKA_TRY(CheckSoftmax(a->student_softmax, a->student, "student_softmax", OnCpu(a->exec)));
  POLKA_TRY(CheckSoftmax(a->teacher_softmax, a->teacher, "teacher_softmax", OnCpu(a->exec)));
  if (a->student.rows != a->teacher.rows) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher: %lld rows, the student has %lld",
                static_cast<long long>(a->teacher.rows), static_cast<long long>(a->student.rows));
  }
  const int64_t student_vocab = ValidVocab(a->student_softmax, a->student);
  const int64_t teacher_vocab = ValidVocab(a->teacher_softmax, a->teacher);
  if (student_vocab != teacher_vocab) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher: vocabulary of %lld columns, the student's has %lld; set valid_vocab",
                static_cast<long long>(teacher_vocab), static_cast<long long>(student_vocab));
  }
  if (a->kind < POLKA_FORWARD_KL || a->kind > POLKA_JSD) {
    return Fail(POLKA_INVALID_ARGUMENT, "kind: %d is not a divergence", a->kind);
  }
  if (a->kind == POLKA_JSD && !(a->beta > 0 && a->beta < 1)) {
    return Fail(POLKA_INVALID_ARGUMENT, "beta: %g is not between 0 and 1", static_cast<double>(a->beta));
  }
  if (!(a->divisor >= 0) || !isfinite(a->divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "divisor: %g is not finite and >= 0", a->divisor);
  }
  if (a->d_student.data != 0) {
    POLKA_TRY(CheckGradient(a->student, a->d_student, a->gradient_scale, "d_student"));
    POLKA_TRY(CheckDisjoint(a->teacher, a->d_student, "d_student", "the teacher"));
  }
  return POLKA_OK;
}

struct Plan {
  int32_t threads;
  int64_t values;   // bytes of the values' own place in the workspace, 0 where the output serves
  int64_t partial;  // bytes of tile partials, 0 where rows are shared out
};

Plan PlanDivergence(const polka_divergence_args& a) {
  const int64_t tiles = TileCount(ValidVocab(a.student_softmax, a.student));
  const int64_t bytes =
      a.student.rows * a.student.cols * (2 * DtypeBytes(a.student.dtype) + DtypeBytes(a.teacher.dtype));
  const int32_t threads = ThreadsFor(a.exec, bytes);
  const bool by_tile = threads > 1 && tiles > 1 && a.student.rows < 4 * threads;
  return {threads, a.value == 0 ? (a.student.rows * 4 + 63) / 64 * 64 : 0,
          by_tile ? a.student.rows * tiles * N_SSE4::TilePartialBytes() : 0};
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_divergence_workspace(polka_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckDivergence(args));
  if (!OnCpu(args->exec)) return kCudaBackend.divergence_workspace(args);
  const Plan plan = PlanDivergence(*args);
  args->exec.workspace_needed = plan.values + plan.partial;
  return POLKA_OK;
}

extern "C" polka_status polka_divergence(polka_divergence_args* args) {
  using namespace polka;
  POLKA_TRY(CheckDivergence(args));
  args->exec.ran_target = POLKA_TARGET_NONE;
  if (!OnCpu(args->exec)) return kCudaBackend.divergence(args);
  const Plan plan = PlanDivergence(*args);
  POLKA_TRY(CheckWorkspace(args->exec, plan.values + plan.partial));
  double* loss = reinterpret_cast<double*>(args->loss);
  if (loss != nullptr) *loss = 0;
  const int64_t rows = args->student.rows;
  if (rows == 0) return POLKA_OK;
  int32_t target;
  POLKA_TRY(ChooseTarget(&target));
  char* workspace = reinterpret_cast<char*>(args->exec.workspace);
  float* values = reinterpret_cast<float*>(args->value != 0 ? args->value : args->exec.workspace);
  kDivergence.For(target)(*args, plan.threads, values, plan.partial == 0 ? nullptr : workspace + plan.values);
  if (loss == nullptr || args->divisor == 0) return POLKA_OK;
  const float* weight = reinterpret_cast<const float*>(args->row_weight);
  double sum = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (!Masked(args->mask, r)) sum += (weight == nullptr ? 1.0 : weight[r]) * values[r];
  }
  *loss = sum / args->divisor;
  return POLKA_OK;
}
#endif  // HWY_ONCE
