#include "status.h"

extern "C" polka_status polka_token_kl(polka_token_kl_args*) { return polka::Fail(POLKA_UNAVAILABLE, "not there yet"); }
