// How the scales of a row of activations are found and its blocks completed, shared by every path.
// See mk_block.

#ifndef MILLRACE_ACTIVATIONS_H
#define MILLRACE_ACTIVATIONS_H

#include <math.h>

#include "half.h"
#include "kernels.h"

// Rows whose largest magnitude is under the one are zeros; from the other on they are too large.
#define MK_QUANTIZE_SMALLEST 0x1p-100f
#define MK_QUANTIZE_LIMIT 0x1p+100f

// The bits of 1.5 * 2^23: plus an integer within +-2^22 they are the bits of their sum.
#define MK_MAGIC_BITS 0x4B400000

// The smallest scale of a block is 2 to the power of minus this.
#define MK_SMALLEST_SCALE 20

// How a row is quantized, from its largest magnitude.
typedef struct {
  uint32_t largest; // its bits
  float inverse;    // 127 / largest
  float scale;      // largest / 127
  bool is_zeros;    // with that scale, which is 0 or a NaN
} mk_row_scale;

static inline mk_row_scale mk_choose_row_scale(uint32_t largest) {
  const float amax = mk_float_from_bits(largest);
  if (largest >= mk_bits_from_float(MK_QUANTIZE_LIMIT)) return (mk_row_scale){0, 0, NAN, true};
  if (amax < MK_QUANTIZE_SMALLEST) return (mk_row_scale){0, 0, 0, true};
  return (mk_row_scale){largest, 127.0f / amax, amax / 127.0f, false};
}

// The scale of a block is 2 to the power of minus this; from the bits of its largest magnitude.
// Adding e to the exponent of a float multiplies by 2^e, so the difference of the bits has the largest
// e with which the block's largest is not above the row's. Zeros and subnormal numbers are farther
// below any row that gets here than the smallest scale.
static inline uint32_t mk_scale_exponent(const mk_row_scale *row, uint32_t largest) {
  const uint32_t exponent = (row->largest - largest) >> 23;
  return exponent < MK_SMALLEST_SCALE ? exponent : MK_SMALLEST_SCALE;
}

// 2^power, of a normal float.
static inline float mk_power_of_two(int32_t power) {
  return mk_float_from_bits((uint32_t)(127 + power) << 23);
}

// Everything but the quants, from the scale and the sums of the two halves of the quants.
static inline void mk_complete_block(mk_block *block, const mk_row_scale *row, uint32_t exponent,
                                     int32_t low, int32_t high) {
  const int32_t magic = MK_MAGIC_BITS - (int32_t)(exponent << 23);
  block->scale = mk_power_of_two(-(int32_t)exponent);
  block->magic = mk_float_from_bits((uint32_t)magic);
  block->scaled_sum = block->scale * (float)(low + high);
  block->start_q8 = magic - 128 * (low + high);
  block->start_q4 = magic - 8 * (low + high);
  block->start_q6[0] = magic - 32 * low;
  block->start_q6[1] = magic - 32 * high;
  block->row_scale = row->scale;
}

// A row that stands for zeros, or that is marked as holding what cannot be quantized.
static inline void mk_complete_zeros(mk_block *blocks, size_t count, const mk_row_scale *row) {
  for (size_t block = 0; block < count; block++) {
    memset(blocks[block].quants, 0, MK_BLOCK);
    mk_complete_block(blocks + block, row, 0, 0, 0);
  }
}

#endif
