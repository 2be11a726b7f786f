// Matrix multiplication by f32, f16 and bf16 weights, reference. The chain is told at mk_matmul.

#pragma STDC FP_CONTRACT OFF

#include "half.h"
#include "kernels.h"

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
