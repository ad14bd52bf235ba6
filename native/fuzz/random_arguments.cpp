#include "random_arguments.h"

#include <math.h>

namespace polka::fuzz {
namespace {

constexpr unsigned char kPattern = 0xA5;

int64_t ElementBytes(int32_t dtype) { return dtype == POLKA_F32 ? 4 : 2; }

}  // namespace

float Random::Value() {
  switch (Below(24)) {
    case 0:
      return -INFINITY;
    case 1:
      return INFINITY;
    case 2:
      return NAN;
    case 3:
      return Pick({1e4f, -1e4f, 3e38f, -3e38f, 1e-40f, 0.0f});
    default:
      return static_cast<float>(Below(2000001) - 1000000) * 8e-6f;
  }
}

Memory::~Memory() {
  for (const Block& block : blocks_) free(block.data);
}

uint64_t Memory::Allocate(int64_t bytes, int64_t alignment) {
  void* data = nullptr;
  if (posix_memalign(&data, static_cast<size_t>(alignment), static_cast<size_t>(bytes)) != 0) abort();
  blocks_.push_back({static_cast<unsigned char*>(data), bytes, false});
  return reinterpret_cast<uint64_t>(data);
}

uint64_t Memory::Output(int64_t bytes) {
  const uint64_t address = Allocate(bytes, 64);
  memset(blocks_.back().data, kPattern, static_cast<size_t>(bytes));
  blocks_.back().output = true;
  return address;
}

uint64_t Memory::Floats(int64_t count) {
  const uint64_t address = Allocate(count * 4, 64);
  for (int64_t i = 0; i < count; ++i) reinterpret_cast<float*>(address)[i] = random_.Value();
  return address;
}

uint64_t Memory::Bytes(int64_t count) {
  const uint64_t address = Allocate(count, 64);
  for (int64_t i = 0; i < count; ++i) {
    reinterpret_cast<uint8_t*>(address)[i] = static_cast<uint8_t>(random_.OneIn(4) ? 0 : random_.Next());
  }
  return address;
}

uint64_t Memory::Offsets(int64_t groups, int64_t count) {
  const uint64_t address = Allocate((groups + 1) * 8, 64);
  int64_t* offsets = reinterpret_cast<int64_t*>(address);
  offsets[0] = 0;
  for (int64_t g = 1; g <= groups; ++g) {
    offsets[g] = g == groups ? count : offsets[g - 1] + random_.Below(count - offsets[g - 1] + 1);
  }
  return address;
}

bool Memory::OutputsUntouched() const {
  for (const Block& block : blocks_) {
    if (!block.output) continue;
    for (int64_t i = 0; i < block.bytes; ++i) {
      if (block.data[i] != kPattern) return false;
    }
  }
  return true;
}

Arguments::Arguments(Random& dice, Memory& blocks)
    : random(dice),
      memory(blocks),
      rows(dice.Pick<int64_t>({0, 1, 2, 3, 6, 8})),
      // Now and then enough columns for the tiles of one row to go to several threads.
      cols(dice.OneIn(200) ? 150001 : dice.Pick<int64_t>({1, 2, 15, 16, 17, 33, 64, 129, 1000})),
      hostile(dice.OneIn(2)) {}

polka_exec Arguments::Exec() {
  polka_exec exec = {};
  exec.stream = random.Next();
  exec.device_type = Field(POLKA_CPU, {POLKA_CUDA, -1, 7, INT32_MAX});
  exec.device_index = static_cast<int32_t>(random.Next());
  exec.threads = Field(static_cast<int32_t>(random.Below(4)), {-1, INT32_MIN});
  return exec;
}

polka_matrix Arguments::Matrix(bool output, int32_t dtype) {
  polka_matrix m = {};
  m.dtype = dtype >= 0 ? dtype : random.Pick({POLKA_F32, POLKA_BF16, POLKA_F16});
  m.rows = rows;
  m.cols = cols;
  m.outer_rows = rows % 2 == 0 && rows > 0 && random.OneIn(3) ? 2 : 1;
  m.row_stride = cols + random.Pick({INT64_C(0), INT64_C(0), INT64_C(1), INT64_C(7)});
  const int64_t inner = rows / m.outer_rows;
  m.outer_stride = inner * m.row_stride + random.Pick({INT64_C(0), INT64_C(5)});
  const int64_t elements = rows == 0 ? 0 : (m.outer_rows - 1) * m.outer_stride + (inner - 1) * m.row_stride + m.cols;
  const int64_t bytes = elements * ElementBytes(m.dtype);
  if (output) {
    m.data = memory.Output(bytes);
  } else if (m.dtype == POLKA_F32) {
    m.data = memory.Floats(elements);
  } else {
    m.data = memory.Input(bytes);
    for (int64_t i = 0; i < elements; ++i) {
      reinterpret_cast<uint16_t*>(m.data)[i] = static_cast<uint16_t>(random.Next());
    }
  }
  m.data += Field(UINT64_C(0), {UINT64_C(1), -m.data});
  m.dtype = Field(m.dtype, {-1, POLKA_F64, POLKA_I32, POLKA_I64, 99});
  m.rows = Field(m.rows, {-1, INT64_MIN, kHuge, INT64_MAX});
  m.cols = Field(m.cols, {0, -1, INT64_MIN, kHuge, INT64_MAX});
  m.row_stride = Field(m.row_stride, {0, -1, INT64_MIN, kHuge, INT64_MAX});
  m.outer_rows = Field(m.outer_rows, {0, -1, rows + 1, INT64_MIN, INT64_MAX});
  m.outer_stride = Field(m.outer_stride, {0, -1, INT64_MIN, kHuge, INT64_MAX});
  return m;
}

polka_targets Arguments::Targets() {
  polka_targets t = {};
  t.dtype = random.OneIn(2) ? POLKA_I64 : POLKA_I32;
  t.data = memory.Input(rows * (t.dtype == POLKA_I64 ? 8 : 4));
  t.ignore_index = random.OneIn(8) ? random.Pick({INT64_MIN, INT64_C(0), INT64_C(5)}) : -100;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t good = random.OneIn(6) ? t.ignore_index : random.Below(SmallestVocabulary());
    const int64_t id = Field(good, {-1, cols, INT64_MIN, INT64_MAX, INT32_MIN});
    if (t.dtype == POLKA_I64) {
      reinterpret_cast<int64_t*>(t.data)[r] = id;
    } else {
      reinterpret_cast<int32_t*>(t.data)[r] = static_cast<int32_t>(id);
    }
  }
  t.mask = Mask();
  t.data = Field(t.data, {UINT64_C(0)});
  t.dtype = Field(t.dtype, {-1, POLKA_F32, POLKA_F64, 99});
  return t;
}

polka_softmax Arguments::Softmax() {
  polka_softmax s = {};
  s.temperature = Field(random.Pick({1.0f, 0.7f, 2.0f}), {0.0f, -1.0f, NAN, INFINITY});
  s.softcap = Field(random.Pick({0.0f, 0.0f, 30.0f}), {-1.0f, NAN, INFINITY});
  s.valid_vocab = Field(random.Pick({INT64_C(0), cols, SmallestVocabulary()}), {-1, cols + 1, INT64_MIN, INT64_MAX});
  if (random.OneIn(3)) {
    s.row_temperature = memory.Input(rows * 4);
    for (int64_t r = 0; r < rows; ++r) {
      reinterpret_cast<float*>(s.row_temperature)[r] = Field(0.5f, {0.0f, -2.0f, NAN, INFINITY});
    }
  }
  if (random.OneIn(3)) {
    const int64_t row_bytes = (cols + 7) / 8;
    const int64_t stride = row_bytes + random.Pick({INT64_C(0), INT64_C(3)});
    s.keep_mask = memory.Bytes(rows == 0 ? 0 : (rows - 1) * stride + row_bytes);
    s.keep_mask_stride = Field(stride, {-1, INT64_MIN, 0});
  }
  return s;
}

polka_normalizer Arguments::Normalizer(int64_t sequences) {
  polka_normalizer n = {};
  n.divisor = Field(random.Pick({1.0, 0.0, 7.0}), {-1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)});
  if (random.OneIn(2)) {
    n.sequence_tokens = memory.Input(sequences * 8);
    for (int64_t i = 0; i < sequences; ++i) {
      reinterpret_cast<int64_t*>(n.sequence_tokens)[i] = Field(random.Below(5), {INT64_C(-1), INT64_MIN, INT64_MAX});
    }
  }
  return n;
}

void Arguments::Workspace(polka_exec* exec) {
  const int64_t needed = exec->workspace_needed;
  exec->workspace = needed == 0 ? 0 : memory.Input(needed);
  exec->workspace_bytes = needed;
  if (needed > 0) {
    exec->workspace_bytes = Field(needed, {INT64_C(0), INT64_C(-1), needed - 1, INT64_MIN});
    exec->workspace = Field(exec->workspace, {UINT64_C(0), exec->workspace + 8});
  }
}

}  // namespace polka::fuzz
