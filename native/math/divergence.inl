// Divergences between a student distribution p and a teacher distribution q over the vocabulary, one
// column at a time. lp = ln p and lq = ln q may be -inf where the logit is. Needs number.inl, and
// Expm1, Log1p, IfThenElse for the number type N.
//
// Values are summed in a form whose every term is >= 0 where there is one (a convex function minus
// its tangent): equal distributions give exactly 0 and near ones lose no digits. A condition is
// written `p == 0`, never `p > 0`, so that a NaN takes the branch that keeps it.

// KL(q || p) = sum of q (lq - lp) - q + p. Infinite where q has mass and p none.
template <class N>
POLKA_MATH N ForwardKlTerm(N p, N q, N lp, N lq, N zero) {
  return IfThenElse(q == zero, p, (p - q) - q * (lp - lq));
}

// d KL(q || p) / dx = p - q.
template <class N>
POLKA_MATH N ForwardKlGradient(N p, N q) {
  return p - q;
}

// KL(p || q) = sum of p (lp - lq) - p + q. Infinite where p has mass and q none.
template <class N>
POLKA_MATH N ReverseKlTerm(N p, N q, N lp, N lq, N zero) {
  return IfThenElse(p == zero, q, (q - p) + p * (lp - lq));
}

// d KL(p || q) / dx = p (lp - lq - KL).
template <class N>
POLKA_MATH N ReverseKlGradient(N p, N lp, N lq, N kl, N zero) {
  return IfThenElse(p == zero, p, p * ((lp - lq) - kl));
}

// ln(p / m) and ln(q / m) for the mixture m = beta q + (1 - beta) p, from s = lp - lq alone:
//   ln(m / q) = log1p((1 - beta) expm1(s))  for s <= 0, and by symmetry for s > 0.
template <class N>
struct MixtureRatio {
  N student;  // ln(p / m)
  N teacher;  // ln(q / m)
};

template <class N>
POLKA_MATH MixtureRatio<N> LogRatioToMixture(N lp, N lq, N beta, N one_minus_beta, N zero) {
  const N s = lp - lq;
  const N mixed = Log1p(IfThenElse(s > zero, beta, one_minus_beta) * Expm1(IfThenElse(s > zero, zero - s, s)));
  return {IfThenElse(s > zero, zero, s) - mixed, IfThenElse(s > zero, zero - s, zero) - mixed};
}

// JSD_beta = beta KL(q || m) + (1 - beta) KL(p || m). Finite always: ln 2 at most for beta = 1/2.
template <class N>
POLKA_MATH N JsdTerm(N p, N q, MixtureRatio<N> ratio, N beta, N one_minus_beta, N zero) {
  return IfThenElse(q == zero, zero, beta * q * ratio.teacher) +
         IfThenElse(p == zero, zero, one_minus_beta * p * ratio.student);
}

// p ln(p / m), whose sum K the gradient needs.
template <class N>
POLKA_MATH N JsdStudentTerm(N p, MixtureRatio<N> ratio, N zero) {
  return IfThenElse(p == zero, zero, p * ratio.student);
}

// d JSD_beta / dx = (1 - beta) p (ln(p / m) - K).
template <class N>
POLKA_MATH N JsdGradient(N p, MixtureRatio<N> ratio, N student_kl, N one_minus_beta, N zero) {
  return IfThenElse(p == zero, zero, one_minus_beta * p * (ratio.student - student_kl));
}

// ---- every kind in one form ------------------------------------------------------------------------

// One column's part. The gradient of any divergence is slope - p mean, where mean is the sum of the
// slopes over the sum of the p: relative to the computed p's own mass, so that a rounding common to all
// of them drops out. Slopes are 0 where the two sides agree.
template <class N>
struct DivergenceTerm {
  N value;
  N slope;  // p d(divergence) / dp, less a multiple of p that is the same for all columns
};

// A column on both sides. s = lp - lq, with the part `s_low` that N rounds away where the kind needs it.
template <class N>
struct DivergenceColumn {
  N p, q, lp, lq, s, s_low;
};

// The options of a call as numbers of type N.
template <class N>
struct DivergenceNumbers {
  N zero, one, half, low, large;  // low = -inf; e^large and e^-large are numbers
  N beta, rest;                   // rest = 1 - beta
  N alpha, one_minus_alpha;
  N inv_alpha, inv_one_minus_alpha;
  bool from_teacher;  // the alpha divergence is summed from q's side: alpha > 1/2
};

template <class N>
POLKA_MATH DivergenceNumbers<N> NumbersOf(N any, double beta, double alpha) {
  const auto n = [any](double value) { return Constant(any, value); };
  return {n(0),     n(1),         n(0.5),       n(-INFINITY),       n(80),      n(beta), n(1 - beta),
          n(alpha), n(1 - alpha), n(1 / alpha), n(1 / (1 - alpha)), alpha > 0.5};
}

// KL(q || m), m = beta q + (1 - beta) p, as the sum of q ln(q / m) - q + m.
template <class N>
POLKA_MATH DivergenceTerm<N> SkewForwardTerm(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  const N teacher = LogRatioToMixture(c.lp, c.lq, n.beta, n.rest, n.zero).teacher;
  return {IfThenElse(c.q == n.zero, n.rest * c.p, c.q * teacher + n.rest * (c.p - c.q)),
          IfThenElse(c.p == n.zero, n.zero, (n.zero - n.rest) * c.p * Expm1(teacher))};
}

// KL(p || m), m = beta p + (1 - beta) q, as the sum of p ln(p / m) - p + m.
template <class N>
POLKA_MATH DivergenceTerm<N> SkewReverseTerm(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  const MixtureRatio<N> ratio = LogRatioToMixture(c.lp, c.lq, n.rest, n.beta, n.zero);
  return {IfThenElse(c.p == n.zero, n.rest * c.q, c.p * ratio.student + n.rest * (c.q - c.p)),
          IfThenElse(c.p == n.zero, n.zero, c.p * (ratio.student + n.rest * Expm1(ratio.teacher)))};
}

// Half the sum of |p - q|. At a tie the slope is 0.
template <class N>
POLKA_MATH DivergenceTerm<N> TotalVariationTerm(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  const N half = n.half * c.p;
  return {n.half * Abs(c.p - c.q), IfThenElse(c.p > c.q, half, IfThenElse(c.q > c.p, n.zero - half, n.zero))};
}

// x (e^u - 1) for x = e^lx and u = high + low, also where e^u alone overflows or x alone underflows.
template <class N>
POLKA_MATH N ScaledExpm1(N x, N lx, N high, N low, const DivergenceNumbers<N>& n) {
  const N e = Exp(high);
  const N scaled = IfThenElse(high > n.large, Exp(lx + high), x * MulAdd(e, low, e));
  const N near = Expm1(high);
  return IfThenElse(high > n.one, scaled - x, x * MulAdd(near + n.one, low, near));
}

// The sum of (p - q)^2 / q. Infinite where p has mass and q none.
template <class N>
POLKA_MATH DivergenceTerm<N> ChiSquaredTerm(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  const N excess = ScaledExpm1(c.p, c.lp, c.s, c.s_low, n);  // p^2 / q - p
  const N value = IfThenElse(c.s > n.one, excess + (c.q - c.p), (c.p - c.q) * Expm1(c.s));
  return {IfThenElse(c.lp == n.low, c.q, value), IfThenElse(c.lp == n.low, n.zero, excess + excess)};
}

// What `power`, a rounded a s, leaves of a (s + s_low).
template <class N>
POLKA_MATH N Remainder(N a, N s, N s_low, N power, const DivergenceNumbers<N>& n) {
  const N low = MulAdd(a, s, n.zero - power) + a * s_low;
  return IfThenElse(power - power == n.zero, low, n.zero);
}

// Amari's alpha divergence of measures, the sum of
//   (q^alpha p^(1 - alpha) - alpha q - (1 - alpha) p) / (alpha (alpha - 1)),
// taken from the side that loses no digits as alpha nears 0 (reverse KL) or 1 (forward KL).
template <class N>
POLKA_MATH DivergenceTerm<N> AlphaTerm(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  if (n.from_teacher) {
    const N power = n.one_minus_alpha * c.s;
    const N low = Remainder(n.one_minus_alpha, c.s, c.s_low, power, n);
    // q^alpha p^(1 - alpha) - q
    const N excess = IfThenElse(c.lq == n.low, n.zero, ScaledExpm1(c.q, c.lq, power, low, n));
    return {(n.zero - n.inv_alpha) * (n.inv_one_minus_alpha * excess + (c.q - c.p)),
            (n.zero - n.inv_alpha) * (excess + (c.q - c.p))};
  }
  const N power = (n.zero - n.alpha) * c.s;
  const N low = Remainder(n.zero - n.alpha, c.s, c.s_low, power, n);
  // (q^alpha p^(1 - alpha) - p) / alpha
  const N excess = n.inv_alpha * IfThenElse(c.lp == n.low, n.zero, ScaledExpm1(c.p, c.lp, power, low, n));
  return {(n.zero - n.inv_one_minus_alpha) * (excess + (c.p - c.q)), n.zero - excess};
}

template <int kKind, class N>
POLKA_MATH DivergenceTerm<N> TermOf(const DivergenceColumn<N>& c, const DivergenceNumbers<N>& n) {
  if constexpr (kKind == POLKA_FORWARD_KL || kKind == POLKA_GENERALIZED_KL) {
    return {ForwardKlTerm(c.p, c.q, c.lp, c.lq, n.zero), ForwardKlGradient(c.p, c.q)};
  } else if constexpr (kKind == POLKA_REVERSE_KL) {
    return {ReverseKlTerm(c.p, c.q, c.lp, c.lq, n.zero), ReverseKlGradient(c.p, c.lp, c.lq, n.zero, n.zero)};
  } else if constexpr (kKind == POLKA_JSD) {
    const MixtureRatio<N> ratio = LogRatioToMixture(c.lp, c.lq, n.beta, n.rest, n.zero);
    return {JsdTerm(c.p, c.q, ratio, n.beta, n.rest, n.zero), JsdGradient(c.p, ratio, n.zero, n.rest, n.zero)};
  } else if constexpr (kKind == POLKA_SKEW_FORWARD_KL) {
    return SkewForwardTerm(c, n);
  } else if constexpr (kKind == POLKA_SKEW_REVERSE_KL) {
    return SkewReverseTerm(c, n);
  } else if constexpr (kKind == POLKA_TOTAL_VARIATION) {
    return TotalVariationTerm(c, n);
  } else if constexpr (kKind == POLKA_CHI_SQUARED) {
    return ChiSquaredTerm(c, n);
  } else {
    return AlphaTerm(c, n);
  }
}

// A kind as a type, for a choice made once per row.
template <int kKind>
struct KindTag {
  static constexpr int kValue = kKind;
};

template <class Body>
POLKA_MATH void WithKind(int kind, Body&& body) {
  switch (kind) {
    case POLKA_FORWARD_KL:
      return body(KindTag<POLKA_FORWARD_KL>());
    case POLKA_REVERSE_KL:
      return body(KindTag<POLKA_REVERSE_KL>());
    case POLKA_JSD:
      return body(KindTag<POLKA_JSD>());
    case POLKA_SKEW_FORWARD_KL:
      return body(KindTag<POLKA_SKEW_FORWARD_KL>());
    case POLKA_SKEW_REVERSE_KL:
      return body(KindTag<POLKA_SKEW_REVERSE_KL>());
    case POLKA_TOTAL_VARIATION:
      return body(KindTag<POLKA_TOTAL_VARIATION>());
    case POLKA_CHI_SQUARED:
      return body(KindTag<POLKA_CHI_SQUARED>());
    case POLKA_ALPHA:
      return body(KindTag<POLKA_ALPHA>());
    default:
      return body(KindTag<POLKA_GENERALIZED_KL>());
  }
}

// Sums over a row, or a part of it.
struct DivergenceTotals {
  double value, slope, student_mass, teacher_mass;
};

POLKA_MATH DivergenceTotals operator+(const DivergenceTotals& a, const DivergenceTotals& b) {
  return {a.value + b.value, a.slope + b.slope, a.student_mass + b.student_mass, a.teacher_mass + b.teacher_mass};
}

// Whether the slopes must be summed; for the KLs their sum follows from the others.
POLKA_MATH constexpr bool SumsSlopes(int kind) {
  return kind != POLKA_FORWARD_KL && kind != POLKA_REVERSE_KL && kind != POLKA_GENERALIZED_KL;
}

// What p is multiplied by in the gradient.
POLKA_MATH double MeanSlope(int kind, const DivergenceTotals& s) {
  const double slope = kind == POLKA_REVERSE_KL ? s.value + (s.student_mass - s.teacher_mass)
                       : SumsSlopes(kind)       ? s.slope
                                                : s.student_mass - s.teacher_mass;
  return slope / s.student_mass;
}

// Whether the log-ratio is needed to more digits than N has: where it is an exponent, its error is
// relative to a term that can be of any size.
constexpr bool NeedsPreciseRatio(int kind) { return kind == POLKA_CHI_SQUARED || kind == POLKA_ALPHA; }

// The computed p, and the q of a softmax, sum to 1 but for a rounding common to all of them. What
// undoes it where it would be relative to terms of any size: the factor of p^2 / q, or of q^alpha
// p^(1 - alpha), which is also the gradient's.
POLKA_MATH double MassFactor(int kind, double alpha, const DivergenceTotals& s, bool measure) {
  const double p = s.student_mass, q = measure ? 1 : s.teacher_mass;
  return kind == POLKA_CHI_SQUARED ? q / (p * p)
         : kind == POLKA_ALPHA     ? exp(-alpha * log(q) - (1 - alpha) * log(p))
                                   : 1;
}

// What turns a sum of terms >= 0 into the plain sum of q ln(q / .) or p ln(p / .), as a multiple of
// what p lacks of the mass of q; its derivative is less than the slope by that multiple of p.
POLKA_MATH double PlainFactor(int kind, double beta) {
  return kind == POLKA_FORWARD_KL        ? 1
         : kind == POLKA_REVERSE_KL      ? -1
         : kind == POLKA_SKEW_FORWARD_KL ? 1 - beta
         : kind == POLKA_SKEW_REVERSE_KL ? beta - 1
                                         : 0;
}

// The divergence from its sums. Between distributions every kind is >= 0, and a KL is a mean under its
// left side; rounding can leave a sum of terms >= 0 just below 0. A teacher taken as it is (`measure`)
// can have any mass: what the terms of the KLs add to be >= 0 is taken off again, and the result can
// be negative, but for the kinds that are defined for measures. A NaN stays.
POLKA_MATH double DivergenceValue(int kind, double beta, double alpha, const DivergenceTotals& s, bool measure) {
  const double mass = measure ? s.teacher_mass : 1, plain = measure ? PlainFactor(kind, beta) : 0;
  if (plain != 0) return s.value + plain * (s.teacher_mass - s.student_mass);
  double value = s.value;
  if (kind == POLKA_FORWARD_KL) value /= s.teacher_mass;
  if (kind == POLKA_REVERSE_KL) value /= s.student_mass;
  if (kind == POLKA_CHI_SQUARED) {
    const double square = value + 2 * s.student_mass - s.teacher_mass;
    value = square * MassFactor(kind, alpha, s, measure) - 2 + mass;
  }
  if (kind == POLKA_ALPHA) {
    const double both = alpha * (alpha - 1);
    const double mean = value * both + alpha * s.teacher_mass + (1 - alpha) * s.student_mass;
    value = (mean * MassFactor(kind, alpha, s, measure) - alpha * mass - (1 - alpha)) / both;
  }
  return value <= 0 ? 0 : value;
}
