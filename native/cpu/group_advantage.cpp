#include "status.h"

extern "C" polka_status polka_group_advantage(polka_group_advantage_args*) {
  return polka::Fail(POLKA_UNAVAILABLE, "not there yet");
}
