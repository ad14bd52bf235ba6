#include "status.h"

extern "C" polka_status polka_divergence_workspace(polka_divergence_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
extern "C" polka_status polka_divergence(polka_divergence_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
