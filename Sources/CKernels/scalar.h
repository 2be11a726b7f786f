// exp and the lane tree of the reference kernels.

#ifndef MILLRACE_SCALAR_H
#define MILLRACE_SCALAR_H

#include "half.h"
#include "polynomials.h"

// Adds 16 lanes pairwise at distances 8, 4, 2, 1; the lanes are used up.
static inline float mk_tree(float lanes[16]) {
  for (size_t distance = 8; distance > 0; distance /= 2) {
    for (size_t lane = 0; lane < distance; lane++) lanes[lane] += lanes[lane + distance];
  }
  return lanes[0];
}

static inline float mk_exp_one(float x) {
  if (x != x) return x;
  if (x < MK_EXP_LOWEST) return 0.0f;
  if (x > MK_EXP_HIGHEST) x = MK_EXP_HIGHEST;
  float shifted = __builtin_fmaf(x, MK_EXP_LOG2E, MK_EXP_ROUNDER);
  float n = shifted - MK_EXP_ROUNDER;
  float r = __builtin_fmaf(n, -MK_EXP_LN2_HIGH, x);
  r = __builtin_fmaf(n, -MK_EXP_LN2_LOW, r);
  float p = __builtin_fmaf(MK_EXP_C7, r, MK_EXP_C6);
  p = __builtin_fmaf(p, r, MK_EXP_C5);
  p = __builtin_fmaf(p, r, MK_EXP_C4);
  p = __builtin_fmaf(p, r, MK_EXP_C3);
  p = __builtin_fmaf(p, r, MK_EXP_C2);
  p = __builtin_fmaf(p, r, 1.0f);
  p = __builtin_fmaf(p, r, 1.0f);
  uint32_t power = (uint32_t)((int32_t)n + 127) << 23;
  return p * mk_float_from_bits(power);
}

#endif
