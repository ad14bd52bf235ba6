#include "log_prob.cuh"

#include "backend.h"

namespace polka::cuda {
polka_status LogProbForwardWorkspace(polka_log_prob_forward_args* args) {
  args->exec.workspace_needed = kStatusBytes;
  return POLKA_OK;
}

polka_status LogProbForward(polka_log_prob_forward_args* args) {
  const polka_log_prob_forward_args& a = *args;
  POLKA_TRY(CheckWorkspace(a.exec, kStatusBytes));
  POLKA_TRY(CheckTargets(a.targets, a.softmax, a.logits, false));
  POLKA_TRY(CheckRows(a.logits, a.softmax));
  const DeviceScope scope(a.exec);
  POLKA_TRY(scope.status());
  DeviceLimits limits;
  POLKA_TRY(LimitsOf(a.exec, &limits));
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(a.exec, &status), "log_prob_forward"));
  if (a.logits.rows == 0) return POLKA_OK;
  return Status(LaunchLogProbForward(a, limits, status, DeviceLauncher{StreamOf(a.exec)}), "log_prob_forward");
}

polka_status LogProbBackward(polka_log_prob_backward_args* args) {
  const polka_log_prob_backward_args& a = *args;
  POLKA_TRY(CheckRows(a.logits, a.softmax));
  const DeviceScope scope(a.exec);
  POLKA_TRY(scope.status());
  DeviceLimits limits;
  POLKA_TRY(LimitsOf(a.exec, &limits));
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(a.exec, &status), "log_prob_backward"));
  return Status(LaunchLogProbBackward(a, limits, status, DeviceLauncher{StreamOf(a.exec)}), "log_prob_backward");
}

}  // namespace polka::cuda
