// Errors and argument checks shared by every operation: one line of text per failure that names the
// argument, the value and the limit.
#pragma once

#include <stdint.h>

#include "polka.h"

namespace polka {

// Stores the text for polka_last_error() and returns `status`.
polka_status Fail(polka_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Each returns POLKA_OK or a failure with text.
polka_status CheckStruct(const void* args, int64_t struct_size, int64_t expected, const char* name);
// `has_cuda`: the operation has a kernel in kCudaBackend.
polka_status CheckExec(const polka_exec& exec, bool has_cuda = false);
polka_status CheckWorkspace(const polka_exec& exec, int64_t needed);
const char* DtypeName(int32_t dtype);
// An option that is one of the numbers 0 .. last.
polka_status CheckOption(int32_t value, int32_t last, const char* name);
// An upper bound > 0; infinite is "off".
polka_status CheckBound(float value, const char* name);
// A number that is 0 for "off" or else finite and > 0.
polka_status CheckSwitch(float value, const char* name);
polka_status CheckNormalizer(const polka_normalizer& n, const char* name);

// Reads the counts: after the offsets, which say how many sequences there can be.
polka_status CheckSequenceTokens(const polka_normalizer& n, int64_t sequences, const char* name);
// `count` elements of `bytes` bytes each: an address where there are any, aligned.
polka_status CheckArray(uint64_t address, int64_t count, int64_t bytes, const char* name);
polka_status CheckMatrix(const polka_matrix& m, const char* name);
// `logits` and its gradient: same shape, gradient of the logits' dtype or f32, in place or disjoint.
polka_status CheckGradient(const polka_matrix& logits, const polka_matrix& gradient, float gradient_scale,
                           const char* name);
// A matrix that is written must not share memory with one that is only read.
polka_status CheckDisjoint(const polka_matrix& read, const polka_matrix& written, const char* name,
                           const char* read_name);
polka_status CheckSoftmax(const polka_softmax& s, const polka_matrix& logits, const char* name);
// The temperatures of the rows that count, where each has its own. Targets without data have a mask
// alone.
polka_status CheckRowTemperatures(const polka_softmax& s, const polka_targets& t, int64_t rows, const char* name);
// The last two look into arrays; `contents` false leaves that out, for memory of a device.
// Shape and type of the targets, then every unmasked target against [0, valid vocabulary).
polka_status CheckTargets(const polka_targets& t, const polka_softmax& s, const polka_matrix& logits,
                          bool contents = true);
// offsets[0] == 0, not falling, offsets[groups] == count.
polka_status CheckOffsets(uint64_t offsets, int64_t groups, int64_t count, const char* name, bool contents = true);

}  // namespace polka

// Hands a failure on.
#define POLKA_TRY(expression)                                    \
  do {                                                           \
    const polka_status polka_try_status_ = (expression);         \
    if (polka_try_status_ != POLKA_OK) return polka_try_status_; \
  } while (0)
