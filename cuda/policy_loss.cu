#include "policy_loss.cuh"

#include "backend.h"

namespace polka::cuda {

// Compiled in log_prob.cu.
extern template cudaError_t LaunchLogProbForward(const polka_log_prob_forward_args&, const DeviceLimits&, uint64_t,
                                                 const DeviceLauncher&);
extern template cudaError_t LaunchLogProbBackward(const polka_log_prob_backward_args&, const DeviceLimits&, uint64_t,
                                                  const DeviceLauncher&, bool);

namespace {

// What the host can see of a batch; its arrays are looked into by the kernels.
polka_status CheckBatch(const polka_policy_loss_args& a) {
  if (a.logits.rows > 0 && a.batch.sequences == 0) {
    return Fail(POLKA_INVALID_ARGUMENT, "offsets: 0 sequences for %lld rows", static_cast<long long>(a.logits.rows));
  }
  if (a.logits.rows > kMaxRows || a.batch.sequences > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "rows: %lld rows in %lld sequences; on CUDA at most %lld of each",
                static_cast<long long>(a.logits.rows), static_cast<long long>(a.batch.sequences),
                static_cast<long long>(kMaxRows));
  }
  return POLKA_OK;
}

}  // namespace

polka_status PolicyLossWorkspace(polka_policy_loss_args* args) {
  args->exec.workspace_needed = PolicyWorkspaceOf(*args, true).bytes;
  return POLKA_OK;
}

polka_status PolicyLossFromLogProbWorkspace(polka_policy_loss_args* args) {
  args->exec.workspace_needed = PolicyWorkspaceOf(*args, false).bytes;
  return POLKA_OK;
}

polka_status PolicyLoss(polka_policy_loss_args* args) {
  const polka_policy_loss_args& a = *args;
  const PolicyWorkspace workspace = PolicyWorkspaceOf(a, true);
  POLKA_TRY(CheckWorkspace(a.exec, workspace.bytes));
  POLKA_TRY(CheckBatch(a));
  POLKA_TRY(CheckRows(a.logits, a.softmax));
  const DeviceScope scope(a.exec);
  POLKA_TRY(scope.status());
  DeviceLimits limits;
  POLKA_TRY(LimitsOf(a.exec, &limits));
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(a.exec, &status), "policy_loss"));
  return Status(LaunchPolicyLoss(a, workspace.memory, limits, DeviceLauncher{StreamOf(a.exec)}), "policy_loss");
}

polka_status PolicyLossFromLogProb(polka_policy_loss_args* args) {
  const polka_policy_loss_args& a = *args;
  const PolicyWorkspace workspace = PolicyWorkspaceOf(a, false);
  POLKA_TRY(CheckWorkspace(a.exec, workspace.bytes));
  POLKA_TRY(CheckBatch(a));
  const DeviceScope scope(a.exec);
  POLKA_TRY(scope.status());
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(a.exec, &status), "policy_loss_from_log_prob"));
  return Status(LaunchTokenObjective(a, workspace.memory, DeviceLauncher{StreamOf(a.exec)}),
                "policy_loss_from_log_prob");
}

}  // namespace polka::cuda
