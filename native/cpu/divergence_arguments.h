// What every part of divergence asks of its arguments.
#pragma once

#include "polka.h"
#include "rows.h"

namespace polka {

inline bool HasReference(const polka_divergence_args& a) { return a.reference.data != 0; }

// Everything that can be said of a call before it runs.
polka_status CheckDivergence(const polka_divergence_args* a);

// Kind and the options that belong to it.
polka_status CheckDivergenceKind(int32_t kind, float beta, float alpha);

// The call with valid_vocab set to the columns that all matrices have, where it asks for that.
polka_divergence_args OnCommonColumns(const polka_divergence_args& a);

}  // namespace polka
