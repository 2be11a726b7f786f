// How a quantized block of activations is completed, shared by every path. See mk_block.

#ifndef MILLRACE_ACTIVATIONS_H
#define MILLRACE_ACTIVATIONS_H

#include <math.h>

#include "half.h"
#include "kernels.h"

// Blocks whose largest magnitude is under the one are zeros; from the other on they are too large.
#define MK_QUANTIZE_SMALLEST 0x1p-100f
#define MK_QUANTIZE_LIMIT 0x1p+100f

// 1.5 * 2^23: the bits of this float plus an integer within +-2^22 are the bits of their sum.
#define MK_MAGIC 0x1.8p+23f
#define MK_MAGIC_BITS 0x4B400000

// The scale of a block, of which the two lowest bits are rounded off.
static inline float mk_block_scale(float largest) {
  return mk_float_from_bits((mk_bits_from_float(largest / 127.0f) + 2u) & ~3u);
}

// Everything but the quants, from the scale and the sums of the two halves of the quants.
static inline void mk_complete_block(mk_block *block, float scale, int32_t low, int32_t high) {
  block->scale = scale;
  block->offset = -MK_MAGIC * scale;
  block->scaled_sum = scale * (float)(low + high);
  block->start_q8 = MK_MAGIC_BITS - 128 * (low + high);
  block->start_q4 = MK_MAGIC_BITS - 8 * (low + high);
  block->start_q6[0] = MK_MAGIC_BITS - 32 * low;
  block->start_q6[1] = MK_MAGIC_BITS - 32 * high;
  block->unused = 0;
}

// A block of zeros: empty, or marked as holding what cannot be quantized.
static inline void mk_complete_odd_block(mk_block *block, bool quantizable) {
  memset(block->quants, 0, MK_BLOCK);
  mk_complete_block(block, quantizable ? 0.0f : NAN, 0, 0);
}

#endif
