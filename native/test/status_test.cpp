// What the argument checks refuse, and that each refusal says which argument, value and limit.
#include "status.h"

#include <gtest/gtest.h>
#include <math.h>

#include <string>
#include <vector>

#include "arguments.h"

namespace polka {
namespace {

using test::Address;
using test::MatrixOf;
using test::PlainSoftmax;
using test::TargetsOf;

constexpr int64_t kHuge = INT64_C(1) << 61;

// A failure with exactly this text.
void ExpectFailure(polka_status actual, polka_status status, const std::string& text) {
  EXPECT_EQ(actual, status);
  EXPECT_EQ(std::string(polka_last_error()), text);
}

class StatusTest : public testing::Test {
 protected:
  std::vector<float> memory = std::vector<float>(4096);
  polka_matrix matrix = MatrixOf(memory.data(), 6, 8);
};

TEST_F(StatusTest, APlainMatrixIsAccepted) { EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_OK); }

TEST_F(StatusTest, AMatrixWithoutRowsNeedsNoMemory) {
  matrix.rows = 0;
  matrix.data = 0;
  EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_OK);
}

TEST_F(StatusTest, ABatchSliceAlongEitherDimensionIsAccepted) {
  // [B = 2, T = 3, V = 8] of [2, 4, 8], and the transposed layout [T, B, V] read as [B, T].
  matrix.outer_rows = 2;
  matrix.outer_stride = 32;
  EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_OK);
  matrix.row_stride = 16;
  matrix.outer_stride = 8;
  EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_OK);
}

TEST_F(StatusTest, AMatrixNamesTheFieldThatCannotBe) {
  struct Case {
    int64_t polka_matrix::*field;
    int64_t value;
    const char* text;
  };
  const Case cases[] = {
      {&polka_matrix::rows, -1, "logits: rows is -1"},
      {&polka_matrix::cols, 0, "logits: cols is 0, outside [1, 2^60]"},
      {&polka_matrix::cols, -3, "logits: cols is -3, outside [1, 2^60]"},
      {&polka_matrix::cols, INT64_MAX, "logits: cols is 9223372036854775807, outside [1, 2^60]"},
      {&polka_matrix::outer_rows, 0, "logits: 6 rows do not split into outer_rows 0"},
      {&polka_matrix::outer_rows, 4, "logits: 6 rows do not split into outer_rows 4"},
      {&polka_matrix::row_stride, 7, "logits: row_stride 7 is less than cols 8"},
      {&polka_matrix::row_stride, -8, "logits: row_stride -8 is less than cols 8"},
      {&polka_matrix::row_stride, kHuge, "logits: strides reach beyond the address space"},
      {&polka_matrix::rows, kHuge, "logits: strides reach beyond the address space"},
  };
  for (const Case& c : cases) {
    polka_matrix bad = matrix;
    bad.*c.field = c.value;
    ExpectFailure(CheckMatrix(bad, "logits"), POLKA_INVALID_ARGUMENT, c.text);
  }
}

TEST_F(StatusTest, AMatrixHasAFloatingPointTypeAndAnAlignedAddress) {
  matrix.dtype = POLKA_F64;
  ExpectFailure(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT, "logits: dtype f64 (3) is not f32, bf16 or f16");
  matrix.dtype = POLKA_F32;
  matrix.data = 0;
  ExpectFailure(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT, "logits: address is 0");
  matrix.data = Address(memory.data()) + 2;
  ExpectFailure(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: address is not aligned to its 4-byte elements");
}

TEST_F(StatusTest, BlocksOfRowsMayNotShareMemory) {
  matrix.outer_rows = 2;
  for (const int64_t stride : {INT64_C(0), INT64_C(-32), INT64_C(7), INT64_C(16), INT64_C(23)}) {
    matrix.outer_stride = stride;
    EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT) << stride;
  }
  matrix.outer_stride = 23;
  ExpectFailure(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: outer_stride 23 makes rows overlap (3 rows of 8 with row_stride 8 in each of 2 blocks)");
  matrix.outer_rows = 6;  // one row in each block: only the outer stride counts
  matrix.outer_stride = -8;
  EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_INVALID_ARGUMENT);
  matrix.outer_stride = 8;
  EXPECT_EQ(CheckMatrix(matrix, "logits"), POLKA_OK);
}

TEST_F(StatusTest, AGradientIsInPlaceOrApart) {
  polka_matrix gradient = matrix;
  EXPECT_EQ(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_OK);
  gradient.data += 48 * sizeof(float);
  EXPECT_EQ(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_OK);
  gradient.data -= sizeof(float);
  ExpectFailure(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_INVALID_ARGUMENT,
                "d_logits: overlaps the logits without being the same matrix");
  gradient = matrix;
  gradient.row_stride = 9;
  ExpectFailure(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_INVALID_ARGUMENT,
                "d_logits: in place needs the logits' own dtype and strides");
}

TEST_F(StatusTest, AGradientHasTheLogitsShapeAndTheirTypeOrF32) {
  polka_matrix gradient = MatrixOf(memory.data() + 1024, 6, 7);
  ExpectFailure(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_INVALID_ARGUMENT,
                "d_logits: shape [6, 7] differs from the logits' [6, 8]");
  gradient = MatrixOf(memory.data() + 1024, 6, 8, POLKA_BF16);
  ExpectFailure(CheckGradient(matrix, gradient, 1, "d_logits"), POLKA_INVALID_ARGUMENT,
                "d_logits: dtype bf16 is neither the logits' (f32) nor f32");
  matrix.dtype = POLKA_F16;
  EXPECT_EQ(CheckGradient(matrix, MatrixOf(memory.data() + 1024, 6, 8), 1, "d_logits"), POLKA_OK);
}

TEST_F(StatusTest, HalfPrecisionInPlaceNeedsAGradientScale) {
  matrix.dtype = POLKA_F16;
  ExpectFailure(CheckGradient(matrix, matrix, 0, "d_logits"), POLKA_INVALID_ARGUMENT,
                "gradient_scale: must be set for f16 logits in place");
  EXPECT_EQ(CheckGradient(matrix, matrix, 128, "d_logits"), POLKA_OK);
  ExpectFailure(CheckGradient(matrix, matrix, NAN, "d_logits"), POLKA_INVALID_ARGUMENT,
                "gradient_scale: nan is not finite");
}

TEST_F(StatusTest, TheTemperatureIsFiniteAndPositive) {
  polka_softmax softmax = PlainSoftmax();
  EXPECT_EQ(CheckSoftmax(softmax, matrix, "logits"), POLKA_OK);
  softmax.temperature = 0x1p-126f;
  EXPECT_EQ(CheckSoftmax(softmax, matrix, "logits"), POLKA_OK);
  for (const float t : {0.0f, -1.0f, INFINITY, NAN, 0x1p-127f, 1e-45f}) {
    softmax.temperature = t;
    EXPECT_EQ(CheckSoftmax(softmax, matrix, "logits"), POLKA_INVALID_ARGUMENT) << t;
  }
  ExpectFailure(CheckSoftmax(softmax, matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: temperature 1.4013e-45 is not finite and >= 2^-126");
}

TEST_F(StatusTest, TheTemperatureOfASkippedRowIsNotRead) {
  const float rows[] = {1, NAN, 1, 0, 1, 1};
  polka_softmax softmax = PlainSoftmax();
  softmax.row_temperature = Address(rows);
  const int64_t ids[] = {0, -100, 0, 0, 0, 0};
  const uint8_t mask[] = {1, 1, 1, 0, 1, 1}, other[] = {1, 0, 1, 1, 1, 1};
  EXPECT_EQ(CheckRowTemperatures(softmax, TargetsOf(ids, mask), 6, "logits"), POLKA_OK);
  ExpectFailure(CheckRowTemperatures(softmax, TargetsOf(ids), 6, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: temperature 0 of row 3 is not finite and >= 2^-126");
  ExpectFailure(CheckRowTemperatures(softmax, TargetsOf(nullptr, mask), 6, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: temperature nan of row 1 is not finite and >= 2^-126");
  ExpectFailure(CheckRowTemperatures(softmax, TargetsOf(nullptr, other), 6, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: temperature 0 of row 3 is not finite and >= 2^-126");
}

TEST_F(StatusTest, SoftcapVocabularyAndKeepMaskAreBounded) {
  polka_softmax softmax = PlainSoftmax();
  softmax.softcap = -1;
  ExpectFailure(CheckSoftmax(softmax, matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: softcap -1 is not finite and >= 0");
  softmax = PlainSoftmax();
  softmax.valid_vocab = 9;
  ExpectFailure(CheckSoftmax(softmax, matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: valid_vocab 9 is outside [0, 8]");
  softmax = PlainSoftmax();
  softmax.keep_mask = Address(memory.data());
  ExpectFailure(CheckSoftmax(softmax, matrix, "logits"), POLKA_INVALID_ARGUMENT,
                "logits: keep_mask_stride 0 is less than the 1 bytes of a row");
}

TEST_F(StatusTest, ATargetOutsideTheVocabularyNamesTheFirstBadRow) {
  const int64_t ids[] = {0, 7, -100, 3, 8, -1};
  ExpectFailure(CheckTargets(TargetsOf(ids), PlainSoftmax(), matrix), POLKA_OUT_OF_RANGE,
                "targets: target 8 of row 4 is outside the vocabulary [0, 8)");
  const uint8_t mask[] = {1, 1, 1, 1, 0, 0};
  EXPECT_EQ(CheckTargets(TargetsOf(ids, mask), PlainSoftmax(), matrix), POLKA_OK);
  polka_softmax padded = PlainSoftmax();
  padded.valid_vocab = 7;
  ExpectFailure(CheckTargets(TargetsOf(ids, mask), padded, matrix), POLKA_OUT_OF_RANGE,
                "targets: target 7 of row 1 is outside the vocabulary [0, 7)");
}

TEST_F(StatusTest, TargetsAreWholeNumbersSomewhere) {
  polka_targets targets = TargetsOf(nullptr);
  ExpectFailure(CheckTargets(targets, PlainSoftmax(), matrix), POLKA_INVALID_ARGUMENT, "targets: address is 0");
  targets.dtype = POLKA_F32;
  ExpectFailure(CheckTargets(targets, PlainSoftmax(), matrix), POLKA_INVALID_ARGUMENT,
                "targets: dtype f32 (0) is not int64 or int32");
  matrix.rows = 0;
  EXPECT_EQ(CheckTargets(TargetsOf(nullptr), PlainSoftmax(), matrix), POLKA_OK);
}

TEST_F(StatusTest, OffsetsRunFromZeroToTheCountWithoutFalling) {
  const int64_t good[] = {0, 2, 2, 5};
  EXPECT_EQ(CheckOffsets(Address(good), 3, 5, "offsets"), POLKA_OK);
  ExpectFailure(CheckOffsets(Address(good), 3, 6, "offsets"), POLKA_INVALID_ARGUMENT,
                "offsets: ends at 5, must end at 6");
  const int64_t late[] = {1, 5};
  ExpectFailure(CheckOffsets(Address(late), 1, 5, "offsets"), POLKA_INVALID_ARGUMENT,
                "offsets: starts at 1, must start at 0");
  const int64_t falling[] = {0, 4, 3, 5};
  ExpectFailure(CheckOffsets(Address(falling), 3, 5, "offsets"), POLKA_INVALID_ARGUMENT,
                "offsets: falls from 4 to 3 at 2");
  ExpectFailure(CheckOffsets(Address(good), -1, 5, "offsets"), POLKA_INVALID_ARGUMENT, "offsets: -1 groups");
  ExpectFailure(CheckOffsets(0, 1, 5, "offsets"), POLKA_INVALID_ARGUMENT, "offsets: address is 0");
  EXPECT_EQ(CheckOffsets(0, 0, 0, "offsets"), POLKA_OK);
}

TEST(ExecTest, OnlyTheProcessorIsServed) {
  polka_exec exec = {};
  EXPECT_EQ(CheckExec(exec), POLKA_OK);
  exec.device_type = POLKA_CUDA;
  exec.device_index = 3;
  ExpectFailure(CheckExec(exec), POLKA_UNAVAILABLE,
                "device: cuda:3 was asked for, but this library was built without CUDA");
  exec.device_type = 9;
  ExpectFailure(CheckExec(exec), POLKA_INVALID_ARGUMENT, "device_type: 9 is not a device type");
  exec = {};
  exec.threads = -2;
  ExpectFailure(CheckExec(exec), POLKA_INVALID_ARGUMENT, "threads: -2 is negative");
}

TEST(ExecTest, AWorkspaceIsLargeEnoughAndAligned) {
  alignas(64) uint8_t memory[192];
  polka_exec exec = {};
  EXPECT_EQ(CheckWorkspace(exec, 0), POLKA_OK);
  ExpectFailure(CheckWorkspace(exec, 128), POLKA_WORKSPACE, "workspace: 0 bytes given, 128 needed");
  exec.workspace = Address(memory);
  exec.workspace_bytes = 127;
  ExpectFailure(CheckWorkspace(exec, 128), POLKA_WORKSPACE, "workspace: 127 bytes given, 128 needed");
  exec.workspace_bytes = 128;
  EXPECT_EQ(CheckWorkspace(exec, 128), POLKA_OK);
  exec.workspace += 8;
  ExpectFailure(CheckWorkspace(exec, 128), POLKA_INVALID_ARGUMENT, "workspace: not aligned to 64 bytes");
}

TEST(ExecTest, AStructOfAnotherSizeIsRefused) {
  const polka_token_kl_args args = {};
  ExpectFailure(CheckStruct(nullptr, 0, sizeof args, "token_kl"), POLKA_INVALID_ARGUMENT, "token_kl: args is null");
  ExpectFailure(CheckStruct(&args, 8, 100, "token_kl"), POLKA_INVALID_ARGUMENT,
                "token_kl: struct_size is 8, this library expects 100");
}

TEST(ExecTest, ALongMessageIsCutNotOverrun) {
  const std::string name(2000, 'x');
  EXPECT_EQ(CheckExec({0, 0, 0, 0, POLKA_CPU, 0, -1, 0}), POLKA_INVALID_ARGUMENT);
  EXPECT_EQ(Fail(POLKA_INVALID_ARGUMENT, "%s", name.c_str()), POLKA_INVALID_ARGUMENT);
  EXPECT_EQ(std::string(polka_last_error()), name.substr(0, 511));
}

}  // namespace
}  // namespace polka
