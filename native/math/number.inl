// The scalar number types of the formulas in this directory, and the marker of their functions.
// Formulas are templates over a number type N: float on CUDA and for single values, double in tests,
// a Highway vector for whole rows. They use +, -, *, / and the functions below; for a vector those
// are Highway's, found by the argument's type.
//
// Every .inl here is included inside a namespace: once per SIMD target by the CPU kernels, once by
// CUDA, once by plain code. Hence no include guards and no #include of system headers: the including
// file brings <math.h>.

#ifndef POLKA_MATH
#if defined(__CUDACC__)
#define POLKA_MATH __host__ __device__ inline
#else
#define POLKA_MATH inline
#endif
#endif

POLKA_MATH float MulAdd(float a, float b, float c) { return fmaf(a, b, c); }
POLKA_MATH double MulAdd(double a, double b, double c) { return fma(a, b, c); }

// Comparisons and choices in the form that vectors have.
POLKA_MATH float IfThenElse(bool yes, float a, float b) { return yes ? a : b; }
POLKA_MATH double IfThenElse(bool yes, double a, double b) { return yes ? a : b; }
POLKA_MATH float Expm1(float x) { return expm1f(x); }
POLKA_MATH double Expm1(double x) { return expm1(x); }
POLKA_MATH float Log1p(float x) { return log1pf(x); }
POLKA_MATH double Log1p(double x) { return log1p(x); }
POLKA_MATH float Log(float x) { return logf(x); }
POLKA_MATH double Log(double x) { return log(x); }
POLKA_MATH float Exp(float x) { return expf(x); }
POLKA_MATH double Exp(double x) { return exp(x); }
POLKA_MATH float Abs(float x) { return fabsf(x); }
POLKA_MATH double Abs(double x) { return fabs(x); }
POLKA_MATH bool Or(bool a, bool b) { return a || b; }

// `value` as a number of the first argument's type.
POLKA_MATH float Constant(float, double value) { return static_cast<float>(value); }
POLKA_MATH double Constant(double, double value) { return value; }
// One number of a vector; a scalar is its own.
POLKA_MATH float LaneOf(float x) { return x; }
POLKA_MATH double LaneOf(double x) { return x; }

// What one token of a sequence weighs in a sum. A divisor of 0 means that no token counts anywhere: weight 0.
POLKA_MATH double TokenWeight(double divisor, int64_t sequence_tokens) {
  if (divisor == 0) return 0;
  return 1 / divisor / static_cast<double>(sequence_tokens > 1 ? sequence_tokens : 1);
}

// `weight` times a term of the loss or of its gradient; no weight, no term.
POLKA_MATH double Weighted(double weight, double term) { return weight == 0 ? 0 : weight * term; }
