// Activation quantization, reference. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "half.h"
#include "kernels.h"
#include "polynomials.h"

void mk_quantize_row_scalar(const float *x, size_t n, int8_t *quants, float *scales,
                            int32_t *sums) {
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const float *in = x + block * MK_BLOCK;
    int8_t *out = quants + block * MK_BLOCK;
    // As integers, magnitudes sort as floats do, with infinity and NaN on top.
    uint32_t largest = 0;
    for (size_t i = 0; i < MK_BLOCK; i++) {
      uint32_t magnitude = mk_bits_from_float(in[i]) & 0x7FFFFFFFu;
      if (magnitude > largest) largest = magnitude;
    }
    float amax = mk_float_from_bits(largest);
    bool finite = largest < 0x7F800000u;
    if (!finite || amax < MK_QUANTIZE_SMALLEST) {
      memset(out, 0, MK_BLOCK);
      sums[block] = 0;
      scales[block] = finite ? 0.0f : NAN;
      continue;
    }
    float inverse = 127.0f / amax;
    int32_t sum = 0;
    for (size_t i = 0; i < MK_BLOCK; i++) {
      // Adding and taking away 1.5 * 2^23 rounds half to even.
      float shifted = in[i] * inverse + MK_EXP_ROUNDER;
      int32_t quant = (int32_t)(shifted - MK_EXP_ROUNDER);
      out[i] = (int8_t)quant;
      sum += quant;
    }
    scales[block] = amax / 127.0f;
    sums[block] = sum;
  }
}
