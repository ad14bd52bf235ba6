// The token objective over the rows of a batch: what policy_loss does between log-probs and the
// gradient of log-probs, for callers with logits and without.
#pragma once

#include <stdint.h>

#include "polka.h"

namespace polka {

// The batch with its log-probs. `scratch` has TokenObjectiveBytes bytes, aligned to 8.
struct TokenObjective {
  const polka_policy_loss_args* args;
  const float* log_prob;  // [rows]
  const float* entropy;   // [rows], or null: counts as 0
  bool read_targets;      // there are targets: rows are skipped by ignore_index too
  uint64_t scratch;
};

// d loss / d log-prob and d loss / d entropy of a row, gradient_scale included. A row that does not
// count has gradient 0 even where its logits are NaN.
struct TokenGradient {
  float d_log_prob;
  float d_entropy;
  bool counted;
};

// Everything of the arguments but sizes, logits, targets, softmax, log_prob, entropy and gradients.
polka_status CheckTokenObjective(const polka_policy_loss_args& args);

int64_t TokenObjectiveBytes(const polka_policy_loss_args& args);

// Whether a token's loss depends on the other tokens of its sequence, and whether it reads entropies.
bool ObjectiveNeedsSequences(const polka_policy_objective& o);
bool ObjectiveNeedsEntropy(const polka_policy_objective& o);

// The gradient of one row, for an objective that needs no sequences. Reads neither other rows nor the
// arrays of log-probs and entropies, so that a kernel can call it while the row is in cache.
TokenGradient RowGradient(const TokenObjective& objective, int64_t row, float log_prob, float entropy);

// Writes the metrics, and the gradient of every row where the arrays [rows] are not null. The bits
// of a row are those of RowGradient; sums have one order whatever the number of threads.
void RunTokenObjective(const TokenObjective& objective, float* d_log_prob, float* d_entropy);

}  // namespace polka
