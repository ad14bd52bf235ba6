// Every index is visited once, whatever the number of threads; small work stays on one thread.
#include "parallel.h"

#include <gtest/gtest.h>

#include <stdlib.h>

#include <algorithm>
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

TEST_F(ParallelTest, AThreadMoreNeedsHalfAMegabyteWhereThreadsSpinAndTwoWhereTheySleep) {
  constexpr int64_t kMegabyte = 1024 * 1024;
  struct Row {
    WaitPolicy policy;
    int64_t bytes, threads;
  };
  for (const Row& row : {Row{WaitPolicy::kSpinning, 0, 1}, Row{WaitPolicy::kSpinning, kMegabyte - 1, 1},
                         Row{WaitPolicy::kSpinning, kMegabyte, 2}, Row{WaitPolicy::kSpinning, 64 * kMegabyte, 128},
                         Row{WaitPolicy::kPassive, 0, 1}, Row{WaitPolicy::kPassive, 4 * kMegabyte - 1, 1},
                         Row{WaitPolicy::kPassive, 4 * kMegabyte, 2}, Row{WaitPolicy::kPassive, 64 * kMegabyte, 32}}) {
    EXPECT_EQ(ThreadsWorth(row.policy, row.bytes), row.threads) << row.bytes;
  }
}

TEST_F(ParallelTest, TheWaitPolicyIsWhatLibgompReadsFromTheEnvironment) {
  for (const char* passive : {"PASSIVE", "passive", " Passive "}) {
    EXPECT_EQ(WaitPolicyOf(passive, nullptr), WaitPolicy::kPassive) << passive;
    EXPECT_EQ(WaitPolicyOf(passive, ""), WaitPolicy::kPassive) << passive;
    EXPECT_EQ(WaitPolicyOf(passive, "30000"), WaitPolicy::kSpinning) << passive;
  }
  for (const char* spinning : {"ACTIVE", "", "passively", "x"}) {
    EXPECT_EQ(WaitPolicyOf(spinning, nullptr), WaitPolicy::kSpinning) << spinning;
    EXPECT_EQ(WaitPolicyOf(spinning, "0"), WaitPolicy::kPassive) << spinning;
  }
  EXPECT_EQ(WaitPolicyOf(nullptr, nullptr), WaitPolicy::kSpinning);
  EXPECT_EQ(WaitPolicyOf(nullptr, "0"), WaitPolicy::kPassive);
  EXPECT_EQ(WaitPolicyOf(nullptr, "infinity"), WaitPolicy::kSpinning);
}

TEST_F(ParallelTest, ACallGoesByThePolicyOfItsProcess) {
  polka_exec exec = {};
  exec.threads = 8;
  const WaitPolicy policy = WaitPolicyOf(getenv("OMP_WAIT_POLICY"), getenv("GOMP_SPINCOUNT"));
  for (const int64_t bytes : {1 << 19, 1 << 20, 3 << 20, 4 << 20, 7 << 20}) {
    EXPECT_EQ(ThreadsFor(exec, bytes), std::min<int64_t>(8, ThreadsWorth(policy, bytes))) << bytes;
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
