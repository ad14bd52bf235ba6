// Where a call leaves for the GPU. Each operation checks its arguments, but for contents that lie on
// the device, and hands them to this table when exec.device_type is POLKA_CUDA. The table is defined in
// cuda/; a library without that directory does without it.
#pragma once

#include <stdint.h>

#include "polka.h"

namespace polka {

struct CudaBackend {
  int32_t (*available)();
  polka_status (*check)(polka_exec*);
  polka_status (*log_prob_forward_workspace)(polka_log_prob_forward_args*);
  polka_status (*log_prob_forward)(polka_log_prob_forward_args*);
  polka_status (*log_prob_backward)(polka_log_prob_backward_args*);
  polka_status (*policy_loss_workspace)(polka_policy_loss_args*);
  polka_status (*policy_loss)(polka_policy_loss_args*);
  polka_status (*policy_loss_from_log_prob_workspace)(polka_policy_loss_args*);
  polka_status (*policy_loss_from_log_prob)(polka_policy_loss_args*);
  polka_status (*divergence_workspace)(polka_divergence_args*);
  polka_status (*divergence)(polka_divergence_args*);
  polka_status (*token_kl)(polka_token_kl_args*);
  polka_status (*group_advantage)(polka_group_advantage_args*);
  polka_status (*token_returns)(polka_token_returns_args*);
  polka_status (*segment)(polka_segment_args*);
};

extern const CudaBackend kCudaBackend __attribute__((weak));

inline bool HasCuda() { return &kCudaBackend != nullptr; }
inline bool OnCpu(const polka_exec& exec) { return exec.device_type != POLKA_CUDA; }

}  // namespace polka
