// Every index is visited once, whatever the number of threads; small work stays on one thread.
#include "parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "status.h"

namespace polka {
namespace {

class ParallelTest : public testing::Test {
 protected:
  void TearDown() override { polka_set_threads(0); }
};

TEST_F(ParallelTest, EveryIndexIsVisitedExactlyOnce) {
  for (const int32_t threads : {0, 1, 2, 3, 8}) {
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (const int64_t chunk : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
        auto body = [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) visits[static_cast<size_t>(i)]++;
        };
        ParallelFor(threads, count, chunk, body);
        for (const auto& v : visits) ASSERT_EQ(v, 1) << threads << " " << count << " " << chunk;
      }
    }
  }
}

TEST_F(ParallelTest, NoChunkIsLargerThanAsked) {
  std::atomic<int64_t> largest{0};
  auto body = [&](int64_t begin, int64_t end) {
    int64_t seen = largest;
    while (seen < end - begin && !largest.compare_exchange_weak(seen, end - begin)) {
    }
  };
  ParallelFor(2, 100, 16, body);
  EXPECT_EQ(largest, 16);
}

TEST_F(ParallelTest, TheThreadsOfTheProcessAreTheDefaultAndTheCallMayChoose) {
  constexpr int64_t kPlenty = INT64_C(1) << 40;
  polka_exec exec = {};
  polka_set_threads(3);
  EXPECT_EQ(polka_threads(), 3);
  EXPECT_EQ(ThreadsFor(exec, kPlenty), 3);
  exec.threads = 2;
  EXPECT_EQ(ThreadsFor(exec, kPlenty), 2);
}

TEST_F(ParallelTest, ANumberBelowOneRestoresTheMachines) {
  const int32_t machine = polka_threads();
  EXPECT_GE(machine, 1);
  for (const int32_t n : {0, -5}) {
    polka_set_threads(machine + 3);
    polka_set_threads(n);
    EXPECT_EQ(polka_threads(), machine);
  }
}

TEST_F(ParallelTest, SmallWorkStaysOnOneThread) {
  polka_exec exec = {};
  exec.threads = 8;
  EXPECT_EQ(ThreadsFor(exec, 0), 1);
  EXPECT_EQ(ThreadsFor(exec, 1000), 1);
}

TEST_F(ParallelTest, EachThreadHasItsOwnLastError) {
  Fail(POLKA_INVALID_ARGUMENT, "mine");
  std::string first, other;
  std::thread thread([&] {
    first = polka_last_error();
    Fail(POLKA_INVALID_ARGUMENT, "the other's");
    other = polka_last_error();
  });
  thread.join();
  EXPECT_EQ(first, "");
  EXPECT_EQ(other, "the other's");
  EXPECT_STREQ(polka_last_error(), "mine");
}

}  // namespace
}  // namespace polka
