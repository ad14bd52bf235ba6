#include "status.h"

extern "C" polka_status polka_log_prob_forward_workspace(polka_log_prob_forward_args*) { return polka::Fail(POLKA_UNAVAILABLE, "not there yet"); }
extern "C" polka_status polka_log_prob_forward(polka_log_prob_forward_args*) { return polka::Fail(POLKA_UNAVAILABLE, "not there yet"); }
extern "C" polka_status polka_log_prob_backward(polka_log_prob_backward_args*) { return polka::Fail(POLKA_UNAVAILABLE, "not there yet"); }
