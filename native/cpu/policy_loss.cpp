#include "status.h"

extern "C" polka_status polka_policy_loss_workspace(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
extern "C" polka_status polka_policy_loss(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
extern "C" polka_status polka_policy_loss_from_log_prob_workspace(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
extern "C" polka_status polka_policy_loss_from_log_prob(polka_policy_loss_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
