// Activation quantization, reference. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#include "activations.h"
#include "polynomials.h"

void mk_quantize_row_scalar(const float *x, size_t n, mk_block *blocks) {
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const float *in = x + block * MK_BLOCK;
    mk_block *out = blocks + block;
    // As integers, magnitudes sort as floats do, with infinity and NaN on top.
    uint32_t largest = 0;
    for (size_t i = 0; i < MK_BLOCK; i++) {
      uint32_t magnitude = mk_bits_from_float(in[i]) & 0x7FFFFFFFu;
      if (magnitude > largest) largest = magnitude;
    }
    float amax = mk_float_from_bits(largest);
    bool quantizable = largest < mk_bits_from_float(MK_QUANTIZE_LIMIT);
    if (!quantizable || amax < MK_QUANTIZE_SMALLEST) {
      mk_complete_odd_block(out, quantizable);
      continue;
    }
    float inverse = 127.0f / amax;
    int32_t sums[2] = {0, 0};
    for (size_t i = 0; i < MK_BLOCK; i++) {
      // Adding and taking away 1.5 * 2^23 rounds half to even.
      float shifted = in[i] * inverse + MK_EXP_ROUNDER;
      int32_t quant = (int32_t)(shifted - MK_EXP_ROUNDER);
      out->quants[i] = (int8_t)quant;
      sums[i / 16] += quant;
    }
    mk_complete_block(out, mk_block_scale(amax), sums[0], sums[1]);
  }
}
