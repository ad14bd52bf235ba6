// Random argument structs over memory of exactly the size they describe, with now and then one
// hostile field. Sizes are either true to the memory or impossible, never a believable lie: no check
// can tell a wrong size from a right one.
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>
#include <type_traits>
#include <vector>

#include "polka.h"

namespace polka::fuzz {

constexpr int64_t kHuge = INT64_C(1) << 61;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

  int64_t Below(int64_t n) { return static_cast<int64_t>(Next() % static_cast<uint64_t>(n)); }
  bool OneIn(int64_t n) { return Below(n) == 0; }

  template <class T>
  T Pick(std::initializer_list<T> values) {
    return values.begin()[Below(static_cast<int64_t>(values.size()))];
  }

  // A logit, log-prob or reward: mostly ordinary, sometimes at the edge of what f32 holds.
  float Value();

 private:
  uint64_t state_;
};

// The memory of one call. Outputs are filled with a pattern, so that a refused call can be shown to
// have written nothing. Blocks have the very size asked for: AddressSanitizer sees one byte too far.
class Memory {
 public:
  explicit Memory(Random& random) : random_(random) {}
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint64_t Input(int64_t bytes) { return Allocate(bytes, 64); }
  uint64_t Output(int64_t bytes);
  // An output that the caller did not ask for in one case of four.
  uint64_t MaybeOutput(int64_t bytes) { return random_.OneIn(4) ? 0 : Output(bytes); }
  uint64_t Floats(int64_t count);
  uint64_t Bytes(int64_t count);
  // Not falling from 0 to count, or spoilt.
  uint64_t Offsets(int64_t groups, int64_t count);
  bool OutputsUntouched() const;

 private:
  struct Block {
    unsigned char* data;
    int64_t bytes;
    bool output;
  };
  uint64_t Allocate(int64_t bytes, int64_t alignment);

  Random& random_;
  std::vector<Block> blocks_;
};

// Makes the arguments of one call.
class Arguments {
 public:
  Arguments(Random& dice, Memory& blocks);

  Random& random;
  Memory& memory;
  int64_t rows, cols;
  // One call in two may have hostile fields; the others must be served.
  bool hostile;

  // A field as it is, or spoilt where this call is hostile and the dice say so.
  template <class T>
  T Field(T good, std::initializer_list<std::type_identity_t<T>> bad) {
    return Spoil() ? random.Pick(bad) : good;
  }

  int64_t StructSize(int64_t size) { return Field(size, {0, -1, size - 8, size + 8, INT64_MAX}); }
  polka_exec Exec();
  polka_matrix Matrix(bool output = false, int32_t dtype = -1);
  polka_targets Targets();
  polka_softmax Softmax();
  polka_normalizer Normalizer(int64_t sequences);
  // Gives the workspace that was asked for, or, where hostile, one that will not do.
  void Workspace(polka_exec* exec);
  uint64_t Mask() { return random.OneIn(2) ? 0 : memory.Bytes(rows); }
  uint64_t RowFloats() { return Field(memory.Floats(rows), {UINT64_C(0)}); }
  uint64_t MaybeRowFloats() { return random.OneIn(2) ? 0 : memory.Floats(rows); }
  uint64_t RowOutput() { return memory.MaybeOutput(rows * 4); }

 private:
  // The vocabulary may be cut to it, so that ids of well-meant calls stay below.
  int64_t SmallestVocabulary() const { return (cols + 1) / 2; }
  bool Spoil() { return hostile && random.OneIn(12); }
};

}  // namespace polka::fuzz
