// Matrix multiplication, reference. The chains are told at mk_matmul.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "half.h"
#include "kernels.h"

void mk_matmul_q8_0_scalar(const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                           size_t group_end, float *out, size_t out_stride) {
  size_t columns = weights->columns;
  size_t blocks = columns / MK_BLOCK;
  for (size_t group = group_begin; group < group_end; group++) {
    const uint8_t *values = (const uint8_t *)weights->values + group * MK_ROW_GROUP * columns;
    const uint16_t *scales = weights->scales + group * MK_ROW_GROUP * blocks;
    for (size_t token = 0; token < x->tokens; token++) {
      float lanes[MK_ROW_GROUP] = {0};
      for (size_t block = 0; block < blocks; block++) {
        const uint8_t *w = values + block * MK_BLOCK * MK_ROW_GROUP;
        const int8_t *q = x->quants + token * columns + block * MK_BLOCK;
        float scale = x->scales[token * blocks + block];
        for (size_t lane = 0; lane < MK_ROW_GROUP; lane++) {
          int32_t dot = 0;
          for (size_t i = 0; i < MK_BLOCK; i++) {
            dot += ((int32_t)w[(i / 4) * 64 + lane * 4 + i % 4] - 128) * (int32_t)q[i];
          }
          float row_scale = mk_float_from_f16(scales[block * MK_ROW_GROUP + lane]);
          lanes[lane] = __builtin_fmaf(row_scale * scale, (float)dot, lanes[lane]);
        }
      }
      mk_store_group(lanes, out + token * out_stride, group, weights->rows);
    }
  }
}

static float weight_at(const mk_matrix *weights, size_t index) {
  switch (weights->type) {
    case MK_WEIGHT_F16:
      return mk_float_from_f16(((const uint16_t *)weights->values)[index]);
    case MK_WEIGHT_BF16:
      return mk_float_from_bf16(((const uint16_t *)weights->values)[index]);
    default:
      return ((const float *)weights->values)[index];
  }
}

void mk_matmul_float_scalar(const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                            size_t group_end, float *out, size_t out_stride) {
  size_t columns = weights->columns;
  for (size_t group = group_begin; group < group_end; group++) {
    for (size_t token = 0; token < x->tokens; token++) {
      const float *row = x->values + token * columns;
      float lanes[MK_ROW_GROUP] = {0};
      for (size_t column = 0; column < columns; column++) {
        size_t first = (group * columns + column) * MK_ROW_GROUP;
        for (size_t lane = 0; lane < MK_ROW_GROUP; lane++) {
          lanes[lane] = __builtin_fmaf(weight_at(weights, first + lane), row[column], lanes[lane]);
        }
      }
      mk_store_group(lanes, out + token * out_stride, group, weights->rows);
    }
  }
}
