// Discounted returns and generalized advantage estimates, one token after another from the last of a
// sequence to its first (Schulman et al. 2016). With two lambdas, one for the advantages and one for the
// targets of the value model, and with one that grows with the length: Yuan et al. 2025 (VC-PPO) and
// Yue et al. 2025 (VAPO). Needs number.inl and polka.h.

// The lambda at which the weights of all deltas, sum_k lambda^k, add up to length_alpha times the tokens.
POLKA_MATH double LengthAdaptiveLambda(double length_alpha, int64_t tokens) {
  const double horizon = length_alpha * static_cast<double>(tokens);
  return horizon > 1 ? 1 - 1 / horizon : 0;
}

// The lambda of sequence `b` for its advantages; `per_sequence` is read where the call has one.
template <class Lambdas>
POLKA_MATH double SequenceLambda(const polka_token_returns_args& a, const Lambdas& per_sequence, int64_t b,
                                 int64_t tokens) {
  if (a.length_alpha > 0) return LengthAdaptiveLambda(a.length_alpha, tokens);
  return a.sequence_lambda == 0 ? a.lambda : static_cast<double>(per_sequence[b]);
}

// What the quantities of the next token are multiplied by.
struct ReturnFactors {
  double value;      // gamma
  double advantage;  // gamma lambda
  double target;     // gamma value_lambda
};

POLKA_MATH ReturnFactors FactorsOf(const polka_token_returns_args& a, double lambda) {
  return {a.gamma, a.gamma * lambda, a.gamma * a.value_lambda};
}

// What a token hands to the one before it.
struct ReturnState {
  double value;      // its value; its return where there are none
  double advantage;  // its sum of deltas, with lambda
  double target;     // the same with value_lambda
};

POLKA_MATH ReturnState StartReturns(double bootstrap) { return {bootstrap, 0, 0}; }

// 0 times anything is 0 here: a horizon that ends does not look beyond.
POLKA_MATH double Discounted(double factor, double x) { return factor == 0 ? 0 : factor * x; }

struct ReturnsOfToken {
  double advantage;
  double returns;
};

POLKA_MATH ReturnsOfToken StepBack(ReturnState& state, const ReturnFactors& factors, double reward, double value,
                                   bool has_values) {
  if (!has_values) {
    state.value = reward + Discounted(factors.value, state.value);
    return {0, state.value};
  }
  const double delta = reward + Discounted(factors.value, state.value) - value;
  state.advantage = delta + Discounted(factors.advantage, state.advantage);
  state.target = delta + Discounted(factors.target, state.target);
  state.value = value;
  return {state.advantage, value + state.target};
}
