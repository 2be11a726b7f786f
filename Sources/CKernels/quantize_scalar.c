// Activation quantization, reference. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#include "activations.h"
#include "polynomials.h"

// The bits of the largest magnitude. As integers, magnitudes sort as floats do, with infinity and
// NaN on top.
static uint32_t largest_of(const float *x, size_t n) {
  uint32_t largest = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t magnitude = mk_bits_from_float(x[i]) & 0x7FFFFFFFu;
    if (magnitude > largest) largest = magnitude;
  }
  return largest;
}

void mk_quantize_row_scalar(const float *x, size_t n, mk_block *blocks) {
  mk_row_scale row = mk_choose_row_scale(largest_of(x, n));
  if (row.is_zeros) {
    mk_complete_zeros(blocks, n / MK_BLOCK, &row);
    return;
  }
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const float *in = x + block * MK_BLOCK;
    mk_block *out = blocks + block;
    uint32_t exponent = mk_scale_exponent(&row, largest_of(in, MK_BLOCK));
    float inverse = row.inverse * mk_power_of_two((int32_t)exponent);
    int32_t sums[2] = {0, 0};
    for (size_t i = 0; i < MK_BLOCK; i++) {
      // Adding and taking away 1.5 * 2^23 rounds half to even.
      float shifted = in[i] * inverse + MK_EXP_ROUNDER;
      int32_t quant = (int32_t)(shifted - MK_EXP_ROUNDER);
      out->quants[i] = (int8_t)quant;
      sums[i / 16] += quant;
    }
    mk_complete_block(out, &row, exponent, sums[0], sums[1]);
  }
}
