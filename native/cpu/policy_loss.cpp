// policy_loss: log-probs (or the logits they come from) -> loss, metrics and gradients. The objective
// itself runs in token_objective.cpp; this file checks the arguments and hands the memory on.
#include "polka.h"
#include "status.h"
#include "token_objective.h"

namespace polka {
namespace {

// Far beyond any memory, and small enough for sizes in bytes.
constexpr int64_t kMaxRows = int64_t{1} << 48;

polka_status CheckSizes(const polka_policy_loss_args* args, const char* name) {
  POLKA_TRY(CheckStruct(args, args == nullptr ? 0 : args->struct_size, sizeof *args, name));
  POLKA_TRY(CheckExec(args->exec));
  POLKA_TRY(CheckOption(args->objective.ratio_level, POLKA_RATIO_SEQUENCE, "ratio_level"));
  const int64_t rows = args->logits.rows, sequences = args->batch.sequences;
  if (rows < 0 || rows > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "rows: %lld is outside [0, 2^48]", static_cast<long long>(rows));
  }
  if (sequences < 0 || sequences > kMaxRows) {
    return Fail(POLKA_INVALID_ARGUMENT, "sequences: %lld is outside [0, 2^48]", static_cast<long long>(sequences));
  }
  return POLKA_OK;
}

}  // namespace
}  // namespace polka

extern "C" polka_status polka_policy_loss_workspace(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
extern "C" polka_status polka_policy_loss(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}

extern "C" polka_status polka_policy_loss_from_log_prob_workspace(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss_from_log_prob"));
  args->exec.workspace_needed = TokenObjectiveBytes(*args);
  return POLKA_OK;
}

extern "C" polka_status polka_policy_loss_from_log_prob(polka_policy_loss_args* args) {
  using namespace polka;
  POLKA_TRY(CheckSizes(args, "policy_loss_from_log_prob"));
  const polka_policy_loss_args& a = *args;
  args->exec.ran_target = POLKA_TARGET_NONE;
  POLKA_TRY(CheckTokenObjective(a));
  POLKA_TRY(CheckArray(a.log_prob, a.logits.rows, 4, "log_prob"));
  POLKA_TRY(CheckArray(a.entropy, a.objective.entropy_coefficient == 0 ? 0 : a.logits.rows, 4, "entropy"));
  POLKA_TRY(CheckArray(a.d_log_prob, 0, 4, "d_log_prob"));
  POLKA_TRY(CheckArray(a.d_entropy, 0, 4, "d_entropy"));
  POLKA_TRY(CheckWorkspace(a.exec, TokenObjectiveBytes(a)));
  RunTokenObjective({args, reinterpret_cast<const float*>(a.log_prob), reinterpret_cast<const float*>(a.entropy), false,
                     a.exec.workspace},
                    reinterpret_cast<float*>(a.d_log_prob), reinterpret_cast<float*>(a.d_entropy));
  return POLKA_OK;
}
