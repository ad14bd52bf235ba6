// What the host side of every operation shares: the device of the call, its limits, its status word,
// and CUDA errors as statuses.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda_backend.h"
#include "device/launch.cuh"
#include "polka.h"
#include "status.h"

namespace polka::cuda {

// The text starts with the error's name; `what` says what was being done.
polka_status Status(cudaError_t error, const char* what);

// Makes the call's device current, and the former one again at the end.
class DeviceScope {
 public:
  explicit DeviceScope(const polka_exec& exec);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;

  // POLKA_OK when the device is current.
  polka_status status() const { return status_; }

 private:
  int former_ = -1;
  polka_status status_;
};

// Limits of a device, asked once.
polka_status LimitsOf(const polka_exec& exec, DeviceLimits* limits);

// Bytes at the start of a workspace that hold the status word.
constexpr int64_t kStatusBytes = 64;

inline cudaStream_t StreamOf(const polka_exec& exec) { return reinterpret_cast<cudaStream_t>(exec.stream); }

// Says on the stream that every row is fine so far. Without a workspace nothing is reported: *word is 0.
cudaError_t ResetStatus(const polka_exec& exec, uint64_t* word);

// What the status word can name, for `spans` sequences or segments of `count` tokens, and that there are
// spans where there are tokens.
polka_status CheckSpans(int64_t spans, int64_t count, const char* name);

// What the grid, the status word and the tables of statistics can hold.
polka_status CheckRows(const polka_matrix& logits, const polka_softmax& softmax);

int32_t Available();
polka_status Check(polka_exec* exec);
polka_status LogProbForwardWorkspace(polka_log_prob_forward_args* args);
polka_status LogProbForward(polka_log_prob_forward_args* args);
polka_status LogProbBackward(polka_log_prob_backward_args* args);
polka_status PolicyLossWorkspace(polka_policy_loss_args* args);
polka_status PolicyLoss(polka_policy_loss_args* args);
polka_status PolicyLossFromLogProbWorkspace(polka_policy_loss_args* args);
polka_status PolicyLossFromLogProb(polka_policy_loss_args* args);
polka_status DivergenceWorkspaceOnDevice(polka_divergence_args* args);
polka_status DivergenceOnDevice(polka_divergence_args* args);
polka_status TokenKlOnDevice(polka_token_kl_args* args);
polka_status GroupAdvantageOnDevice(polka_group_advantage_args* args);
polka_status TokenReturnsOnDevice(polka_token_returns_args* args);
polka_status SegmentOnDevice(polka_segment_args* args);

}  // namespace polka::cuda
