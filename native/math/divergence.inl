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

// The mean of lp - lq under p from the summed terms, for the gradient. The computed p sum to 1 but
// for a rounding that is common to all of them: taken relative to their own mass, it drops out of
// p (lp - lq - mean), where it would show multiplied by KL.
POLKA_MATH double ReverseKlMean(double value, double student_mass, double teacher_mass) {
  return (value + (student_mass - teacher_mass)) / student_mass;
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
