// What holds for every call, and the operations that stand in files of their own.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include "random_arguments.h"

namespace polka::fuzz {

[[noreturn]] inline void Broken(const char* what, polka_status status) {
  fprintf(stderr, "broken: %s (status %d, last error: %s)\n", what, status, polka_last_error());
  exit(1);
}

// What every call has to hold. Returns the status.
inline polka_status Checked(polka_status status, const Arguments& a) {
  if (status < POLKA_OK || status > POLKA_WORKSPACE) Broken("a status that is not in polka.h", status);
  if (status != POLKA_OK && polka_last_error()[0] == 0) Broken("a failure without a text", status);
  if (status != POLKA_OK && !a.memory.OutputsUntouched()) Broken("a refused call wrote to an output", status);
  if (!a.hostile && status != POLKA_OK && status != POLKA_UNAVAILABLE) Broken("a well-meant call was refused", status);
  return status;
}

template <class Args>
void AskWorkspace(polka_status (*function)(Args*), Args* args, Arguments& a) {
  polka_exec& exec = args->exec;
  if (Checked(function(args), a) != POLKA_OK) exec.workspace_needed = 0;
  if (exec.workspace_needed < 0 || exec.workspace_needed > (1 << 26)) {
    Broken("a workspace beyond all measure", POLKA_OK);
  }
  a.Workspace(&exec);
}

inline polka_matrix MaybeGradient(Arguments& a, const polka_matrix& logits) {
  if (a.random.OneIn(4)) return logits;  // in place
  return a.Matrix(true, a.random.OneIn(2) ? POLKA_F32 : logits.dtype);
}

polka_status Divergence(Arguments& a);
polka_status TopkDivergence(Arguments& a);
polka_status VocabLogProb(Arguments& a);

}  // namespace polka::fuzz
