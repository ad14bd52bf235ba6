// The device that a test runs on: the emulator, or with POLKA_TEST_ON_DEVICE a GPU through the C
// interface. Arrays lie between guard zones, at the alignment that the test asks for.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "polka.h"

#if defined(POLKA_TEST_ON_DEVICE)
#include "test/gpu_device.h"
#else
#include "emulator/emulator.h"
#include "divergence.cuh"
#include "group_advantage.cuh"
#include "log_prob.cuh"
#include "policy_loss.cuh"
#include "segment.cuh"
#include "token_kl.cuh"
#include "token_returns.cuh"
#endif

namespace polka::cuda::test {

#if !defined(POLKA_TEST_ON_DEVICE)

// Storage between guards.
class GuardedBytes {
 public:
  GuardedBytes(uint64_t bytes, uint64_t misalignment, unsigned char fill)
      : bytes_(bytes), storage_(bytes + 2 * kGuard + 256, kPattern) {
    uint64_t p = reinterpret_cast<uint64_t>(storage_.data()) + kGuard;
    p = (p + 255) / 256 * 256 + misalignment;
    data_ = reinterpret_cast<unsigned char*>(p);
    std::fill(data_, data_ + bytes, fill);
  }
  GuardedBytes(const GuardedBytes&) = delete;

  unsigned char* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }
  bool Intact() const {
    const unsigned char* end = storage_.data() + storage_.size();
    for (const unsigned char* p = storage_.data(); p < end; ++p) {
      if ((p < data_ || p >= data_ + bytes_) && *p != kPattern) return false;
    }
    return true;
  }

 private:
  static constexpr uint64_t kGuard = 512;
  static constexpr unsigned char kPattern = 0xA5;

  uint64_t bytes_;
  std::vector<unsigned char> storage_;
  unsigned char* data_;
};

class Gpu {
 public:
  static constexpr bool kEmulated = true;

  explicit Gpu(const emulator::Options& options = {}) : emulator_(options) {}

  // An array with `values`, `misalignment` bytes past a 256-byte boundary; its address.
  template <class T>
  uint64_t Input(const std::vector<T>& values, const char* name, uint64_t misalignment = 0) {
    return Place(values, name, misalignment, emulator::Permission::kRead);
  }
  // The same, that the kernel may write.
  template <class T>
  uint64_t InOut(const std::vector<T>& values, const char* name, uint64_t misalignment = 0) {
    return Place(values, name, misalignment, emulator::Permission::kReadWrite);
  }
  // An array that the kernel writes; NaN before that.
  template <class T>
  uint64_t Output(int64_t count, const char* name, uint64_t misalignment = 0) {
    GuardedBytes& b = arrays_.emplace_back(static_cast<uint64_t>(count) * sizeof(T), misalignment, 0xFF);
    emulator_.memory.Register(b.data(), b.bytes(), emulator::Permission::kReadWrite, name);
    return reinterpret_cast<uint64_t>(b.data());
  }
  template <class T>
  std::vector<T> Fetch(uint64_t address, int64_t count) const {
    const T* p = reinterpret_cast<const T*>(address);
    return std::vector<T>(p, p + count);
  }
  // Bytes of an array that no kernel may touch.
  void Forbid(uint64_t address, uint64_t bytes) {
    emulator_.memory.Forbid(reinterpret_cast<const void*>(address), bytes);
  }

  void Run(const polka_log_prob_forward_args& a) {
    LaunchLogProbForward(a, emulator_.options.limits, status_address_, emulator::EmulatorLauncher{emulator_});
  }
  void Run(const polka_log_prob_backward_args& a) {
    LaunchLogProbBackward(a, emulator_.options.limits, status_address_, emulator::EmulatorLauncher{emulator_});
  }
  // The workspace is taken here; its contents are NaN before the call.
  void Run(polka_policy_loss_args a) {
    TakeWorkspace(a);
    LaunchPolicyLoss(a, PolicyWorkspaceOf(a, true).memory, emulator_.options.limits, Launcher());
  }
  void RunFromLogProb(polka_policy_loss_args a) {
    TakeWorkspace(a);
    LaunchTokenObjective(a, PolicyWorkspaceOf(a, false).memory, Launcher());
  }
  void Run(polka_divergence_args a) {
    a.exec.workspace = 0;
    const int64_t bytes = DivergenceWorkspaceOf(a).bytes;
    a.exec.workspace = status_address_ = Output<unsigned char>(bytes, "workspace");
    LaunchDivergence(a, DivergenceWorkspaceOf(a).memory, emulator_.options.limits, Launcher());
  }
  void Run(const polka_token_kl_args& a) { LaunchTokenKl(a, Launcher()); }
  void Run(const polka_group_advantage_args& a) { LaunchGroupAdvantage(a, status_address_, Launcher()); }
  void Run(const polka_token_returns_args& a) { LaunchTokenReturns(a, status_address_, Launcher()); }
  void Run(const polka_segment_args& a) { LaunchSegment(a, status_address_, Launcher()); }
  // The status word after the calls so far.
  uint64_t Status() const { return Fetch<uint64_t>(status_address_, 1)[0]; }

  // Findings of the emulator, damaged guards included; empty where all is well.
  std::string Findings() {
    for (const GuardedBytes& b : arrays_) {
      if (!b.Intact()) emulator_.report.Add("guard", "bytes outside an array were overwritten");
    }
    return emulator_.report.clean() ? "" : emulator_.report.Text();
  }
  const emulator::Traffic& traffic() const { return emulator_.traffic; }
  const emulator::Report& report() const { return emulator_.report; }

 private:
  emulator::EmulatorLauncher Launcher() { return {emulator_}; }

  void TakeWorkspace(polka_policy_loss_args& a) {
    a.exec.workspace = 0;
    a.exec.workspace_bytes = PolicyWorkspaceOf(a, true).bytes;
    a.exec.workspace = status_address_ = Output<unsigned char>(a.exec.workspace_bytes, "workspace");
  }

  template <class T>
  uint64_t Place(const std::vector<T>& values, const char* name, uint64_t misalignment,
                 emulator::Permission permission) {
    GuardedBytes& b = arrays_.emplace_back(values.size() * sizeof(T), misalignment, 0);
    memcpy(b.data(), values.data(), values.size() * sizeof(T));
    emulator_.memory.Register(b.data(), b.bytes(), permission, name);
    return reinterpret_cast<uint64_t>(b.data());
  }

  emulator::Emulator emulator_;
  std::deque<GuardedBytes> arrays_;
  uint64_t status_address_ = Output<uint64_t>(1, "status");
};

#endif

}  // namespace polka::cuda::test
