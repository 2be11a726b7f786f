// Matrix multiplication by quantized weights, reference. The chains are told at mk_matmul.

#pragma STDC FP_CONTRACT OFF

#include "packed.h"

// The chain of one block and one row: values [32] above zero, with the scale and the smallest value
// that belong to each half.
typedef struct {
  int32_t values[MK_BLOCK];
  float scales[2];
  float min;
} row_block;

static row_block unpack(const mk_matrix *weights, size_t group, size_t block, size_t lane) {
  row_block out = {{0}, {0.0f, 0.0f}, 0.0f};
  const uint8_t *values = mk_block_values(weights, group, block);
  int32_t zero = mk_zero_point(weights->type);
  for (size_t i = 0; i < MK_BLOCK; i++) {
    size_t place = mk_has_nibbles(weights->type) ? (i / 8) * 64 + lane * 4 + i % 4
                                                 : (i / 4) * 64 + lane * 4 + i % 4;
    int32_t value = values[place];
    if (mk_has_nibbles(weights->type)) value = i / 4 % 2 == 0 ? value & 15 : value >> 4;
    out.values[i] = value - zero;
  }
  if (weights->type == MK_WEIGHT_Q4_K) {
    const mk_q4_k_scales *s = mk_q4_k_scales_of(weights, group, block);
    size_t part = block % MK_SUPERBLOCK_BLOCKS;
    out.scales[0] = mk_float_from_f16(s->scale[lane]) * (float)mk_q4_k_scale_of(s, part, lane);
    out.min = mk_float_from_f16(s->min[lane]) * (float)mk_q4_k_min_of(s, part, lane);
    out.scales[1] = out.scales[0];
  } else if (weights->type == MK_WEIGHT_Q6_K) {
    const mk_q6_k_scales *s = mk_q6_k_scales_of(weights, group, block);
    size_t part = 2 * (block % MK_SUPERBLOCK_BLOCKS);
    for (size_t half = 0; half < 2; half++) {
      out.scales[half] = mk_float_from_f16(s->scale[lane]) * (float)s->scales[part + half][lane];
    }
  } else {
    out.scales[0] = mk_float_from_f16(mk_block_scales(weights, group, block)[lane]);
    out.scales[1] = out.scales[0];
  }
  return out;
}

static int32_t dot(const row_block *w, const mk_block *x, size_t begin, size_t end) {
  int32_t sum = 0;
  for (size_t i = begin; i < end; i++) sum += w->values[i] * (int32_t)x->quants[i];
  return sum;
}

static float take_block(mk_weight_type type, const row_block *w, const mk_block *x, float acc) {
  if (type == MK_WEIGHT_Q6_K) {
    acc = __builtin_fmaf(w->scales[0], x->scale * (float)dot(w, x, 0, 16), acc);
    return __builtin_fmaf(w->scales[1], x->scale * (float)dot(w, x, 16, 32), acc);
  }
  acc = __builtin_fmaf(w->scales[0], x->scale * (float)dot(w, x, 0, 32), acc);
  return type == MK_WEIGHT_Q4_K ? __builtin_fmaf(-w->min, x->scaled_sum, acc) : acc;
}

void mk_matmul_quantized_scalar(const mk_matrix *weights, const mk_activations *x,
                                size_t group_begin, size_t group_end, const mk_ahead *ahead,
                                float *out, size_t out_stride) {
  (void)ahead;
  size_t blocks = weights->columns / MK_BLOCK;
  size_t stride = mk_block_stride(weights->columns);
  for (size_t group = group_begin; group < group_end; group++) {
    size_t first = group * MK_ROW_GROUP;
    for (size_t lane = 0; lane < MK_ROW_GROUP && first + lane < weights->rows; lane++) {
      for (size_t token = 0; token < x->tokens; token++) {
        out[token * out_stride + first + lane] = 0.0f;
      }
      for (size_t block = 0; block < blocks; block++) {
        row_block w = unpack(weights, group, block, lane);
        for (size_t token = 0; token < x->tokens; token++) {
          float *acc = out + token * out_stride + first + lane;
          *acc = take_block(weights->type, &w, x->blocks + token * stride + block, *acc);
          if (block + 1 == blocks) *acc *= x->blocks[token * stride].row_scale;
        }
      }
    }
  }
}
