// Which instruction set runs, and what happens when one is forced.
#include "dispatch.h"

#include <gtest/gtest.h>

#include <string>

namespace polka {
namespace {

class DispatchTest : public testing::Test {
 protected:
  void TearDown() override { polka_force_target(POLKA_TARGET_NONE); }
};

TEST_F(DispatchTest, TheBestSupportedTargetIsChosen) {
  int32_t best = POLKA_TARGET_NONE;
  for (const int32_t target : {POLKA_TARGET_SSE4, POLKA_TARGET_AVX2, POLKA_TARGET_AVX3}) {
    if (polka_target_supported(target)) best = target;
  }
  int32_t chosen = -1;
  EXPECT_EQ(ChooseTarget(&chosen), POLKA_OK);
  EXPECT_EQ(chosen, best);
  EXPECT_EQ(polka_target(), best);
}

TEST_F(DispatchTest, AForcedTargetIsChosenUntilItIsReleased) {
  const int32_t best = polka_target();
  ASSERT_TRUE(polka_target_supported(POLKA_TARGET_SSE4));
  EXPECT_EQ(polka_force_target(POLKA_TARGET_SSE4), POLKA_OK);
  int32_t chosen = -1;
  EXPECT_EQ(ChooseTarget(&chosen), POLKA_OK);
  EXPECT_EQ(chosen, POLKA_TARGET_SSE4);
  EXPECT_EQ(polka_force_target(POLKA_TARGET_NONE), POLKA_OK);
  EXPECT_EQ(polka_target(), best);
}

TEST_F(DispatchTest, ATargetThatDoesNotExistIsRefusedByNameAndChangesNothing) {
  const int32_t best = polka_target();
  for (const int32_t target : {-1, 4, 99}) {
    EXPECT_EQ(polka_target_supported(target), 0);
    EXPECT_EQ(polka_force_target(target), POLKA_UNAVAILABLE);
    EXPECT_EQ(std::string(polka_last_error()),
              "target: unknown (" + std::to_string(target) + ") is not compiled in or not supported by this processor");
    EXPECT_EQ(polka_target(), best);
  }
}

TEST_F(DispatchTest, EachTargetHasAName) {
  EXPECT_STREQ(polka_target_name(POLKA_TARGET_NONE), "none");
  EXPECT_STREQ(polka_target_name(POLKA_TARGET_SSE4), "SSE4");
  EXPECT_STREQ(polka_target_name(POLKA_TARGET_AVX2), "AVX2");
  EXPECT_STREQ(polka_target_name(POLKA_TARGET_AVX3), "AVX3");
  EXPECT_STREQ(polka_target_name(17), "unknown");
}

TEST_F(DispatchTest, ATableGivesTheFunctionOfItsTarget) {
  const Kernel<int> table = {10, 20, 30};
  EXPECT_EQ(table.For(POLKA_TARGET_SSE4), 10);
  EXPECT_EQ(table.For(POLKA_TARGET_AVX2), 20);
  EXPECT_EQ(table.For(POLKA_TARGET_AVX3), 30);
}

TEST_F(DispatchTest, WithoutTheCudaBackendTheReasonIsSaid) {
  EXPECT_EQ(polka_cuda_available(), 0);
  EXPECT_STREQ(polka_last_error(), "this library was built without CUDA");
}

}  // namespace
}  // namespace polka
