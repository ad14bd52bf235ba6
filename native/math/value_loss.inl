// The loss of one predicted value against its return, and what it adds to the metrics. Needs
// number.inl and polka.h.

template <class T>
struct ValueTerm {
  T loss;
  T derivative;  // with respect to the value
  bool clipped;  // the bounded value decides
};

// e^2 / 2, or Huber's: linear where |e| is above delta (0: never). At delta itself both agree.
template <class T>
POLKA_MATH ValueTerm<T> ErrorTerm(T error, T delta) {
  if (delta > 0 && Abs(error) > delta) {
    return {delta * (Abs(error) - T(0.5) * delta), error > 0 ? delta : -delta, false};
  }
  return {T(0.5) * error * error, error, false};
}

// The larger of the loss at the value and at the value held near the old one (Schulman et al. 2017,
// in their code). A value that is held has gradient 0; at a tie, and at the bound, the gradient flows.
template <class T>
POLKA_MATH ValueTerm<T> ValueLoss(T value, T old_value, T target, T clip, T delta) {
  const ValueTerm<T> free = ErrorTerm(value - target, delta);
  if (clip == 0) return free;
  const T moved = value - old_value;
  const bool held = Abs(moved) > clip;
  if (!held) return free;
  const ValueTerm<T> bounded = ErrorTerm(old_value + (moved > 0 ? clip : -clip) - target, delta);
  if (bounded.loss > free.loss) return {bounded.loss, T(0), true};
  return free;
}

// Mean and sum of squared deviations, one number after the other (Welford 1962).
struct Moments {
  double mean, squares;
};

POLKA_MATH void AddToMoments(Moments& m, double x, double count) {
  const double deviation = x - m.mean;
  m.mean += deviation / count;
  m.squares += deviation * (x - m.mean);
}
