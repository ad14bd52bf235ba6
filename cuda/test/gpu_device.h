// A GPU behind the tests' `Gpu`, through the C interface. The options of the emulator mean nothing
// here: the device has its own order of threads and its own limits.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <type_traits>

#include "emulator/emulator.h"
#include "token_objective.cuh"

namespace polka::cuda::test {

inline void CheckCuda(cudaError_t error) { ASSERT_EQ(error, cudaSuccess) << cudaGetErrorString(error); }

// Device memory between guards.
class DeviceBytes {
 public:
  DeviceBytes(uint64_t bytes, uint64_t misalignment, int fill) : bytes_(bytes), all_(bytes + 2 * kGuard + 256) {
    CheckCuda(cudaMalloc(&base_, all_));
    CheckCuda(cudaMemset(base_, kPattern, all_));
    begin_ = kGuard + misalignment;
    CheckCuda(cudaMemset(data(), fill, bytes));
  }
  DeviceBytes(const DeviceBytes&) = delete;
  ~DeviceBytes() { cudaFree(base_); }

  char* data() const { return static_cast<char*>(base_) + begin_; }
  bool Intact() const {
    std::vector<unsigned char> copy(all_);
    CheckCuda(cudaMemcpy(copy.data(), base_, all_, cudaMemcpyDeviceToHost));
    for (uint64_t i = 0; i < all_; ++i) {
      if ((i < begin_ || i >= begin_ + bytes_) && copy[i] != kPattern) return false;
    }
    return true;
  }

 private:
  static constexpr uint64_t kGuard = 512;
  static constexpr int kPattern = 0xA5;

  uint64_t bytes_, all_, begin_;
  void* base_ = nullptr;
};

class Gpu {
 public:
  static constexpr bool kEmulated = false;

  explicit Gpu(const emulator::Options& = {}) {}

  template <class T>
  uint64_t Input(const std::vector<T>& values, const char*, uint64_t misalignment = 0) {
    const DeviceBytes& b = arrays_.emplace_back(values.size() * sizeof(T), misalignment, 0);
    CheckCuda(cudaMemcpy(b.data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return reinterpret_cast<uint64_t>(b.data());
  }
  template <class T>
  uint64_t InOut(const std::vector<T>& values, const char* name, uint64_t misalignment = 0) {
    return Input(values, name, misalignment);
  }
  template <class T>
  uint64_t Output(int64_t count, const char*, uint64_t misalignment = 0) {
    const uint64_t bytes = static_cast<uint64_t>(count) * sizeof(T);
    return reinterpret_cast<uint64_t>(arrays_.emplace_back(bytes, misalignment, 0xFF).data());
  }
  template <class T>
  std::vector<T> Fetch(uint64_t address, int64_t count) const {
    std::vector<T> values(static_cast<size_t>(count));
    CheckCuda(cudaMemcpy(values.data(), reinterpret_cast<const void*>(address), values.size() * sizeof(T),
                         cudaMemcpyDeviceToHost));
    return values;
  }
  void Forbid(uint64_t, uint64_t) {}

  void Run(polka_log_prob_forward_args a) { Call(a, polka_log_prob_forward_workspace, polka_log_prob_forward); }
  void Run(polka_log_prob_backward_args a) { CallReported(a, polka_log_prob_backward); }
  void Run(polka_policy_loss_args a) { Call(a, polka_policy_loss_workspace, polka_policy_loss); }
  void RunFromLogProb(polka_policy_loss_args a) {
    Call(a, polka_policy_loss_from_log_prob_workspace, polka_policy_loss_from_log_prob);
  }
  void Run(polka_divergence_args a) { Call(a, polka_divergence_workspace, polka_divergence); }
  void Run(polka_token_kl_args a) { Call(a, nullptr, polka_token_kl); }
  void Run(polka_group_advantage_args a) { CallReported(a, polka_group_advantage); }
  void Run(polka_token_returns_args a) { CallReported(a, polka_token_returns); }
  void Run(polka_segment_args a) { CallReported(a, polka_segment); }
  uint64_t Status() const { return Fetch<uint64_t>(workspace_, 1)[0]; }

  std::string Findings() const {
    for (const DeviceBytes& b : arrays_) {
      if (!b.Intact()) return "bytes outside an array were overwritten";
    }
    return "";
  }
  const emulator::Traffic& traffic() const { return traffic_; }

 private:
  // With room for the status word alone.
  template <class Args>
  void CallReported(Args& a, polka_status (*run)(Args*)) {
    a.exec.workspace_needed = 64;
    Call(a, nullptr, run);
  }
  template <class Args>
  void Call(Args& a, std::type_identity_t<polka_status (*)(Args*)> workspace, polka_status (*run)(Args*)) {
    a.struct_size = sizeof a;
    a.exec.device_type = POLKA_CUDA;
    if (workspace != nullptr) {
      ASSERT_EQ(workspace(&a), POLKA_OK) << polka_last_error();
    }
    a.exec.workspace_bytes = a.exec.workspace_needed;
    if (a.exec.workspace_needed > 0) {
      a.exec.workspace = workspace_ = Output<unsigned char>(a.exec.workspace_needed, "workspace");
    }
    ASSERT_EQ(run(&a), POLKA_OK) << polka_last_error();
    CheckCuda(cudaDeviceSynchronize());
  }

  std::deque<DeviceBytes> arrays_;
  uint64_t workspace_ = 0;
  emulator::Traffic traffic_;
};

}  // namespace polka::cuda::test
