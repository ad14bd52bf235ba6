#include "status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "cuda_backend.h"
#include "rows.h"

namespace polka {
namespace {

thread_local char last_error[512] = "";

// Elements from the first of a matrix to its last: their bytes must be addressable.
constexpr int64_t kMostElements = INT64_C(1) << 60;

// First byte and one past the last byte that the view touches.
struct Extent {
  uint64_t begin, end;
};

Extent ExtentOf(const polka_matrix& m) {
  if (m.rows == 0 || m.cols == 0) return {m.data, m.data};
  const int64_t inner = m.rows / m.outer_rows;
  const int64_t last = (m.outer_rows - 1) * m.outer_stride + (inner - 1) * m.row_stride + m.cols;
  return {m.data, m.data + static_cast<uint64_t>(last) * static_cast<uint64_t>(DtypeBytes(m.dtype))};
}

bool SameLayout(const polka_matrix& a, const polka_matrix& b) {
  return a.row_stride == b.row_stride && a.outer_rows == b.outer_rows &&
         (a.outer_rows == 1 || a.outer_stride == b.outer_stride);
}

}  // namespace

const char* LastError() { return last_error; }

polka_status Fail(polka_status status, const char* format, ...) {
  va_list list;
  va_start(list, format);
  vsnprintf(last_error, sizeof last_error, format, list);
  va_end(list);
  return status;
}

polka_status CheckStruct(const void* args, int64_t struct_size, int64_t expected, const char* name) {
  if (args == nullptr) return Fail(POLKA_INVALID_ARGUMENT, "%s: args is null", name);
  if (struct_size != expected) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: struct_size is %lld, this library expects %lld", name,
                static_cast<long long>(struct_size), static_cast<long long>(expected));
  }
  return POLKA_OK;
}

polka_status CheckExec(const polka_exec& exec, bool has_cuda) {
  if (exec.device_type == POLKA_CUDA) {
    if (has_cuda && HasCuda()) return POLKA_OK;
    return Fail(POLKA_UNAVAILABLE, "device: cuda:%d was asked for, but %s", exec.device_index,
                HasCuda() ? "this operation has no CUDA kernel" : "this library was built without CUDA");
  }
  if (exec.device_type != POLKA_CPU) {
    return Fail(POLKA_INVALID_ARGUMENT, "device_type: %d is not a device type", exec.device_type);
  }
  if (exec.threads < 0) return Fail(POLKA_INVALID_ARGUMENT, "threads: %d is negative", exec.threads);
  return POLKA_OK;
}

polka_status CheckWorkspace(const polka_exec& exec, int64_t needed) {
  if (needed == 0) return POLKA_OK;
  if (exec.workspace == 0 || exec.workspace_bytes < needed) {
    return Fail(POLKA_WORKSPACE, "workspace: %lld bytes given, %lld needed",
                static_cast<long long>(exec.workspace == 0 ? 0 : exec.workspace_bytes), static_cast<long long>(needed));
  }
  if (exec.workspace % 64 != 0) return Fail(POLKA_INVALID_ARGUMENT, "workspace: not aligned to 64 bytes");
  return POLKA_OK;
}

const char* DtypeName(int32_t dtype) {
  switch (dtype) {
    case POLKA_F32:
      return "f32";
    case POLKA_BF16:
      return "bf16";
    case POLKA_F16:
      return "f16";
    case POLKA_F64:
      return "f64";
    case POLKA_I32:
      return "int32";
    case POLKA_I64:
      return "int64";
    default:
      return "unknown";
  }
}

polka_status CheckOption(int32_t value, int32_t last, const char* name) {
  if (value >= 0 && value <= last) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %d is outside [0, %d]", name, value, last);
}

polka_status CheckBound(float value, const char* name) {
  if (value > 0) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is not > 0", name, static_cast<double>(value));
}

polka_status CheckArray(uint64_t address, int64_t count, int64_t bytes, const char* name) {
  if (count > 0 && address == 0) return Fail(POLKA_INVALID_ARGUMENT, "%s: address is 0", name);
  if (address % static_cast<uint64_t>(bytes) != 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: address is not aligned to its %d-byte elements", name,
                static_cast<int>(bytes));
  }
  return POLKA_OK;
}

polka_status CheckMatrix(const polka_matrix& m, const char* name) {
  if (m.dtype != POLKA_F32 && m.dtype != POLKA_BF16 && m.dtype != POLKA_F16) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: dtype %s (%d) is not f32, bf16 or f16", name, DtypeName(m.dtype), m.dtype);
  }
  if (m.rows < 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: rows is %lld", name, static_cast<long long>(m.rows));
  }
  if (m.cols < 1 || m.cols > kMostElements) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: cols is %lld, outside [1, 2^60]", name, static_cast<long long>(m.cols));
  }
  if (m.outer_rows < 1 || m.rows % m.outer_rows != 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: %lld rows do not split into outer_rows %lld", name,
                static_cast<long long>(m.rows), static_cast<long long>(m.outer_rows));
  }
  if (m.rows == 0) return POLKA_OK;
  const int64_t inner = m.rows / m.outer_rows;
  if (inner > 1 && m.row_stride < m.cols) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: row_stride %lld is less than cols %lld", name,
                static_cast<long long>(m.row_stride), static_cast<long long>(m.cols));
  }
  const __int128 last = static_cast<__int128>(m.outer_rows - 1) * m.outer_stride +
                        static_cast<__int128>(inner - 1) * m.row_stride + m.cols;
  if (last > kMostElements) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: strides reach beyond the address space", name);
  }
  // Blocks lie one after another, or interleave row by row; rows that share memory could not be written.
  const bool apart = m.outer_stride >= static_cast<__int128>(inner - 1) * m.row_stride + m.cols;
  const bool interleaved =
      m.outer_stride >= m.cols && m.row_stride >= static_cast<__int128>(m.outer_rows - 1) * m.outer_stride + m.cols;
  if (m.outer_rows > 1 && !apart && !interleaved) {
    return Fail(
        POLKA_INVALID_ARGUMENT,
        "%s: outer_stride %lld makes rows overlap (%lld rows of %lld with row_stride %lld in each of %lld blocks)",
        name, static_cast<long long>(m.outer_stride), static_cast<long long>(inner), static_cast<long long>(m.cols),
        static_cast<long long>(m.row_stride), static_cast<long long>(m.outer_rows));
  }
  if (m.data == 0) return Fail(POLKA_INVALID_ARGUMENT, "%s: address is 0", name);
  if (m.data % static_cast<uint64_t>(DtypeBytes(m.dtype)) != 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: address is not aligned to its %d-byte elements", name,
                static_cast<int>(DtypeBytes(m.dtype)));
  }
  return POLKA_OK;
}

polka_status CheckGradient(const polka_matrix& logits, const polka_matrix& gradient, float gradient_scale,
                           const char* name) {
  POLKA_TRY(CheckMatrix(gradient, name));
  if (gradient.rows != logits.rows || gradient.cols != logits.cols) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: shape [%lld, %lld] differs from the logits' [%lld, %lld]", name,
                static_cast<long long>(gradient.rows), static_cast<long long>(gradient.cols),
                static_cast<long long>(logits.rows), static_cast<long long>(logits.cols));
  }
  if (gradient.dtype != logits.dtype && gradient.dtype != POLKA_F32) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: dtype %s is neither the logits' (%s) nor f32", name,
                DtypeName(gradient.dtype), DtypeName(logits.dtype));
  }
  if (!isfinite(gradient_scale)) {
    return Fail(POLKA_INVALID_ARGUMENT, "gradient_scale: %g is not finite", static_cast<double>(gradient_scale));
  }
  if (logits.rows == 0) return POLKA_OK;
  if (gradient.data == logits.data) {
    if (gradient.dtype != logits.dtype || !SameLayout(logits, gradient)) {
      return Fail(POLKA_INVALID_ARGUMENT, "%s: in place needs the logits' own dtype and strides", name);
    }
    if (logits.dtype == POLKA_F16 && gradient_scale == 0) {
      return Fail(POLKA_INVALID_ARGUMENT, "gradient_scale: must be set for f16 logits in place");
    }
    return POLKA_OK;
  }
  return CheckDisjoint(logits, gradient, name, "the logits");
}

polka_status CheckDisjoint(const polka_matrix& read, const polka_matrix& written, const char* name,
                           const char* read_name) {
  const Extent a = ExtentOf(read), b = ExtentOf(written);
  if (a.begin < b.end && b.begin < a.end) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: overlaps %s without being the same matrix", name, read_name);
  }
  return POLKA_OK;
}

polka_status CheckRowTemperatures(const polka_softmax& s, const polka_targets& t, int64_t rows, const char* name) {
  if (s.row_temperature == 0) return POLKA_OK;
  for (int64_t r = 0; r < rows; ++r) {
    const bool skipped = t.data == 0 ? Masked(t.mask, r) : Skipped(t, r);
    if (!skipped && !IsTemperature(Temperature(s, r))) {
      return Fail(POLKA_INVALID_ARGUMENT, "%s: temperature %g of row %lld is not finite and >= 2^-126", name,
                  static_cast<double>(Temperature(s, r)), static_cast<long long>(r));
    }
  }
  return POLKA_OK;
}

polka_status CheckSoftmax(const polka_softmax& s, const polka_matrix& logits, const char* name) {
  if (s.row_temperature == 0 && !IsTemperature(s.temperature)) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: temperature %g is not finite and >= 2^-126", name,
                static_cast<double>(s.temperature));
  }
  POLKA_TRY(CheckArray(s.row_temperature, 0, 4, "row_temperature"));
  if (!(s.softcap >= 0) || !isfinite(s.softcap)) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: softcap %g is not finite and >= 0", name, static_cast<double>(s.softcap));
  }
  if (s.valid_vocab < 0 || s.valid_vocab > logits.cols) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: valid_vocab %lld is outside [0, %lld]", name,
                static_cast<long long>(s.valid_vocab), static_cast<long long>(logits.cols));
  }
  if (s.keep_mask != 0 && logits.rows > 1 && s.keep_mask_stride < (ValidVocab(s, logits) + 7) / 8) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: keep_mask_stride %lld is less than the %lld bytes of a row", name,
                static_cast<long long>(s.keep_mask_stride), static_cast<long long>((ValidVocab(s, logits) + 7) / 8));
  }
  return POLKA_OK;
}

polka_status CheckTargets(const polka_targets& t, const polka_softmax& s, const polka_matrix& logits, bool contents) {
  if (t.dtype != POLKA_I64 && t.dtype != POLKA_I32) {
    return Fail(POLKA_INVALID_ARGUMENT, "targets: dtype %s (%d) is not int64 or int32", DtypeName(t.dtype), t.dtype);
  }
  if (logits.rows == 0) return POLKA_OK;
  if (t.data == 0) return Fail(POLKA_INVALID_ARGUMENT, "targets: address is 0");
  if (!contents) return POLKA_OK;
  const int64_t vocab = ValidVocab(s, logits);
  for (int64_t r = 0; r < logits.rows; ++r) {
    if (Skipped(t, r)) continue;
    const int64_t target = Target(t, r);
    if (target < 0 || target >= vocab) {
      return Fail(POLKA_OUT_OF_RANGE, "targets: target %lld of row %lld is outside the vocabulary [0, %lld)",
                  static_cast<long long>(target), static_cast<long long>(r), static_cast<long long>(vocab));
    }
  }
  return POLKA_OK;
}

polka_status CheckOffsets(uint64_t offsets, int64_t groups, int64_t count, const char* name, bool contents) {
  if (groups < 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: %lld groups", name, static_cast<long long>(groups));
  }
  if (offsets == 0) {
    if (groups == 0 && count == 0) return POLKA_OK;
    return Fail(POLKA_INVALID_ARGUMENT, "%s: address is 0", name);
  }
  if (!contents) return POLKA_OK;
  const int64_t* o = reinterpret_cast<const int64_t*>(offsets);
  if (o[0] != 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: starts at %lld, must start at 0", name, static_cast<long long>(o[0]));
  }
  for (int64_t g = 0; g < groups; ++g) {
    if (o[g + 1] < o[g]) {
      return Fail(POLKA_INVALID_ARGUMENT, "%s: falls from %lld to %lld at %lld", name, static_cast<long long>(o[g]),
                  static_cast<long long>(o[g + 1]), static_cast<long long>(g + 1));
    }
  }
  if (o[groups] != count) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: ends at %lld, must end at %lld", name, static_cast<long long>(o[groups]),
                static_cast<long long>(count));
  }
  return POLKA_OK;
}

polka_status CheckNormalizer(const polka_normalizer& n, const char* name) {
  if (!(n.divisor >= 0) || !isfinite(n.divisor)) {
    return Fail(POLKA_INVALID_ARGUMENT, "%s: divisor %g is not finite and >= 0", name, n.divisor);
  }
  return CheckArray(n.sequence_tokens, 0, 8, name);
}

polka_status CheckSequenceTokens(const polka_normalizer& n, int64_t sequences, const char* name) {
  const int64_t* tokens = reinterpret_cast<const int64_t*>(n.sequence_tokens);
  for (int64_t b = 0; tokens != nullptr && b < sequences; ++b) {
    if (tokens[b] >= 0) continue;
    return Fail(POLKA_INVALID_ARGUMENT, "%s: sequence %lld has %lld tokens", name, static_cast<long long>(b),
                static_cast<long long>(tokens[b]));
  }
  return POLKA_OK;
}

polka_status CheckSwitch(float value, const char* name) {
  if (value >= 0 && isfinite(value)) return POLKA_OK;
  return Fail(POLKA_INVALID_ARGUMENT, "%s: %g is neither 0 (off) nor finite and > 0", name, static_cast<double>(value));
}

}  // namespace polka

extern "C" const char* polka_last_error(void) { return polka::LastError(); }
