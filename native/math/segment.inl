// One number per segment of tokens, of f64 sums in the order of the tokens.
// Needs number.inl and polka.h.

struct SegmentState {
  int64_t tokens;
  double max;  // -inf before the first token; NaN once one was
  double sum;  // of x, of exp(x), or of exp(x - max)
};

POLKA_MATH SegmentState StartSegment() { return {0, -INFINITY, 0}; }

// exp(x - max), where 0 stands for the difference of two equal infinities.
POLKA_MATH double ExpBelow(double x, double max) { return x == max ? 1 : exp(x - max); }

POLKA_MATH void AddToSegment(int32_t reduction, SegmentState& state, double x) {
  ++state.tokens;
  switch (reduction) {
    case POLKA_SEGMENT_MAX:
      if (x > state.max || x != x) state.max = x;
      return;
    case POLKA_SEGMENT_MEAN_EXP:
      state.sum += exp(x);
      return;
    case POLKA_SEGMENT_LOG_MEAN_EXP:
      // A single pass: the sum so far is brought to the new maximum. Terms at -inf add nothing.
      if (x > state.max) {
        state.sum = state.sum * exp(state.max - x) + 1;
        state.max = x;
      } else if (x != -INFINITY) {
        state.sum += ExpBelow(x, state.max);
      }
      return;
    default:
      state.sum += x;
  }
}

POLKA_MATH double FinishSegment(int32_t reduction, const SegmentState& state) {
  const double n = static_cast<double>(state.tokens > 0 ? state.tokens : 1);
  switch (reduction) {
    case POLKA_SEGMENT_MAX:
      return state.max;
    case POLKA_SEGMENT_MEAN:
    case POLKA_SEGMENT_MEAN_EXP:
      return state.sum / n;
    case POLKA_SEGMENT_LOG_MEAN_EXP:
      return state.max + log(state.sum / n);
    default:
      return state.sum;
  }
}
