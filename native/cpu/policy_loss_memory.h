// Where one policy_loss call keeps what it finds about the rows.
#pragma once

#include "polka.h"
#include "token_objective.h"

namespace polka {

struct PolicyLossMemory {
  uint64_t scratch;  // of the token objective
  float* log_prob;   // [rows], the caller's array or scratch; entropy likewise
  float* entropy;
  float* max;  // [rows], this one and the next three only where rows are passed over twice
  float* log_sum;
  float* d_log_prob;
  float* d_entropy;
  void* partial;  // statistics of single tiles, where tiles are shared out among threads

  TokenObjective Objective(const polka_policy_loss_args& a) const { return {&a, log_prob, entropy, true, scratch}; }
};

}  // namespace polka
