#include "divergence.cuh"

#include "backend.h"

namespace polka::cuda {

polka_status DivergenceWorkspaceOnDevice(polka_divergence_args* args) {
  args->exec.workspace_needed = DivergenceWorkspaceOf(*args).bytes;
  return POLKA_OK;
}

polka_status DivergenceOnDevice(polka_divergence_args* args) {
  const polka_divergence_args& a = *args;
  if (a.teacher.dtype != a.student.dtype) {
    return Fail(POLKA_INVALID_ARGUMENT, "teacher: dtype %d differs from the student's (%d); on CUDA both must be one",
                a.teacher.dtype, a.student.dtype);
  }
  const DivergenceWorkspace workspace = DivergenceWorkspaceOf(a);
  POLKA_TRY(CheckWorkspace(a.exec, workspace.bytes));
  POLKA_TRY(CheckRows(a.student, a.student_softmax));
  const DeviceScope scope(a.exec);
  POLKA_TRY(scope.status());
  DeviceLimits limits;
  POLKA_TRY(LimitsOf(a.exec, &limits));
  uint64_t status;
  POLKA_TRY(Status(ResetStatus(a.exec, &status), "divergence"));
  return Status(LaunchDivergence(a, workspace.memory, limits, DeviceLauncher{StreamOf(a.exec)}), "divergence");
}

}  // namespace polka::cuda
