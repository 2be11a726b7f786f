// Double-precision sine, cosine, exponential and logarithm, the same on every machine, and the RoPE
// table.
//
// Only additions, multiplications, divisions and fma are used, each of them correctly rounded by
// IEEE 754. Taylor polynomials after reduction: sine and cosine on +-pi/4, exp on +-ln(2)/2, log by
// the series of atanh on (m - 1) / (m + 1) with m in [sqrt(1/2), sqrt(2)).

#pragma STDC FP_CONTRACT OFF

#include <stdint.h>
#include <string.h>

#include "CKernels.h"

// Adding and taking away 1.5 * 2^52 rounds half to even.
#define ROUNDER 0x1.8p+52

static double round_even(double x) { return (x + ROUNDER) - ROUNDER; }

static double power_of_two(int64_t n) {
  uint64_t bits = (uint64_t)(n + 1023) << 52;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// Sum of c[i] * x^i by Horner's rule.
static double polynomial(const double *c, int count, double x) {
  double sum = c[count - 1];
  for (int i = count - 2; i >= 0; i--) sum = __builtin_fma(sum, x, c[i]);
  return sum;
}

// 1 / (2i + 1)! and 1 / (2i)! with alternating signs.
static const double sine_terms[] = {
    1.0,
    -1.0 / 6,
    1.0 / 120,
    -1.0 / 5040,
    1.0 / 362880,
    -1.0 / 39916800,
    1.0 / 6227020800.0,
    -1.0 / 1307674368000.0,
    1.0 / 355687428096000.0,
};
static const double cosine_terms[] = {
    1.0,
    -1.0 / 2,
    1.0 / 24,
    -1.0 / 720,
    1.0 / 40320,
    -1.0 / 3628800,
    1.0 / 479001600.0,
    -1.0 / 87178291200.0,
    1.0 / 20922789888000.0,
};

static void sine_cosine(double angle, double *sine, double *cosine) {
  double n = round_even(angle * 0x1.45f306dc9c883p-1);  // 2 / pi
  double r = __builtin_fma(n, -0x1.921fb54442d18p+0, angle);
  r = __builtin_fma(n, -0x1.1a62633145c07p-54, r);
  double square = r * r;
  double s = r * polynomial(sine_terms, 9, square);
  double c = polynomial(cosine_terms, 9, square);
  switch ((int64_t)n & 3) {
    case 0:
      *sine = s;
      *cosine = c;
      break;
    case 1:
      *sine = c;
      *cosine = -s;
      break;
    case 2:
      *sine = -s;
      *cosine = -c;
      break;
    default:
      *sine = -c;
      *cosine = s;
  }
}

void mk_rope_table(size_t first_position, size_t positions, const double *frequencies, size_t pairs,
                   float *cosines, float *sines) {
  for (size_t p = 0; p < positions; p++) {
    for (size_t i = 0; i < pairs; i++) {
      double sine, cosine;
      sine_cosine((double)(first_position + p) * frequencies[i], &sine, &cosine);
      cosines[p * pairs + i] = (float)cosine;
      sines[p * pairs + i] = (float)sine;
    }
  }
}

double mk_exp_double(double x) {
  static const double terms[] = {
      1.0,         1.0,          1.0 / 2,       1.0 / 6,        1.0 / 24,
      1.0 / 120,   1.0 / 720,    1.0 / 5040,    1.0 / 40320,    1.0 / 362880,
      1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600.0, 1.0 / 6227020800.0,
  };
  if (x != x) return x;
  if (x < -708.0) return 0.0;
  if (x > 709.0) x = 709.0;
  double n = round_even(x * 0x1.71547652b82fep+0);
  double r = __builtin_fma(n, -0x1.62e42fefa39efp-1, x);
  r = __builtin_fma(n, -0x1.abc9e3b39803fp-56, r);
  return polynomial(terms, 14, r) * power_of_two((int64_t)n);
}

double mk_log_double(double x) {
  // 1 / (2i + 1)
  static const double terms[] = {
      1.0,      1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11,
      1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23,
  };
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int64_t exponent = (int64_t)(bits >> 52) - 1023;
  bits = (bits & 0xFFFFFFFFFFFFFull) | (1023ull << 52);
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 0x1.6a09e667f3bcdp+0) {
    m *= 0.5;
    exponent += 1;
  }
  double s = (m - 1.0) / (m + 1.0);
  double series = 2.0 * s * polynomial(terms, 12, s * s);
  return __builtin_fma((double)exponent, 0x1.62e42fefa39efp-1, series);
}
