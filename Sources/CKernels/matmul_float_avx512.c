// Matrix multiplication by f32, f16 and bf16 weights, AVX-512. The chain is told at mk_matmul.
//
// A register tile is up to 4 groups of 16 rows by up to 8 tokens. With many tokens, weights in halves
// are brought to float once, a run of columns at a time, and not for every tile; between runs the
// chains wait in `out`.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

MK_INLINE __m512 load(const mk_weight_type type, const void *values, size_t index) {
  if (type == MK_WEIGHT_F32) return _mm512_loadu_ps((const float *)values + index);
  const __m256i half = _mm256_loadu_si256((const __m256i *)((const uint16_t *)values + index));
  if (type == MK_WEIGHT_F16) return _mm512_cvtph_ps(half);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Columns of some row groups, [group][column][16].
typedef struct {
  const void *values;
  size_t group_stride; // elements from one group to the next
  size_t first_row;
  size_t columns;
  size_t first_column;
} run_weights;

MK_INLINE void run(const mk_weight_type type, const int groups, const int tokens,
                   const run_weights *weights, const mk_matrix *matrix, const mk_activations *x,
                   size_t token, float *out, size_t out_stride) {
  const float *rows = x->values + token * matrix->columns + weights->first_column;
  __m512 acc[4][8];
  __mmask16 masks[4];
#pragma clang loop unroll(full)
  for (int g = 0; g < groups; g++) {
    const size_t first = weights->first_row + (size_t)g * MK_ROW_GROUP;
    const size_t left = matrix->rows - first;
    masks[g] = left < MK_ROW_GROUP ? (__mmask16)((1u << left) - 1) : 0xFFFF;
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const float *from = out + (token + (size_t)t) * out_stride + first;
      acc[g][t] = weights->first_column == 0 ? _mm512_setzero_ps()
                                             : _mm512_maskz_loadu_ps(masks[g], from);
    }
  }
  for (size_t column = 0; column < weights->columns; column++) {
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      const __m512 weight = load(type, weights->values,
                                 (size_t)g * weights->group_stride + column * MK_ROW_GROUP);
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) {
        const __m512 value = _mm512_set1_ps(rows[(size_t)t * matrix->columns + column]);
        acc[g][t] = _mm512_fmadd_ps(weight, value, acc[g][t]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int g = 0; g < groups; g++) {
    const size_t first = weights->first_row + (size_t)g * MK_ROW_GROUP;
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      _mm512_mask_storeu_ps(out + (token + (size_t)t) * out_stride + first, masks[g], acc[g][t]);
    }
  }
}

// All tokens of `groups` row groups.
MK_INLINE void run_tokens(const mk_weight_type type, const int groups, const run_weights *weights,
                          const mk_matrix *matrix, const mk_activations *x, float *out,
                          size_t out_stride) {
  size_t token = 0;
  if (groups <= 2) {
    for (; token + 8 <= x->tokens; token += 8) {
      run(type, groups, 8, weights, matrix, x, token, out, out_stride);
    }
  }
  for (; token + 4 <= x->tokens; token += 4) {
    run(type, groups, 4, weights, matrix, x, token, out, out_stride);
  }
  for (; token < x->tokens; token++) {
    run(type, groups, 1, weights, matrix, x, token, out, out_stride);
  }
}

static MK_TARGET void run_floats(const int groups, const run_weights *weights,
                                 const mk_matrix *matrix, const mk_activations *x, float *out,
                                 size_t out_stride) {
  if (groups == 2) {
    run_tokens(MK_WEIGHT_F32, 2, weights, matrix, x, out, out_stride);
  } else {
    run_tokens(MK_WEIGHT_F32, 1, weights, matrix, x, out, out_stride);
  }
}

// With fewer tokens, bringing weights to float beforehand does not pay.
#define MANY_TOKENS 128
#define RUN_COLUMNS 512

// Vectors of 16 halves to float.
static MK_TARGET void unpack(const mk_weight_type type, const void *values, size_t first,
                             size_t count, float *out) {
  if (type == MK_WEIGHT_F16) {
    for (size_t i = 0; i < count; i++) {
      _mm512_store_ps(out + i * 16, load(MK_WEIGHT_F16, values, first + i * 16));
    }
  } else {
    for (size_t i = 0; i < count; i++) {
      _mm512_store_ps(out + i * 16, load(MK_WEIGHT_BF16, values, first + i * 16));
    }
  }
}

// One or two groups of halves, for many tokens. Not inlined, so that its memory is there only once.
static __attribute__((noinline)) MK_TARGET void run_unpacked(const int groups,
                                                             const mk_matrix *matrix,
                                                             const mk_activations *x, size_t group,
                                                             float *out, size_t out_stride) {
  _Alignas(64) float floats[2 * RUN_COLUMNS * MK_ROW_GROUP];
  run_weights weights = {floats, RUN_COLUMNS * MK_ROW_GROUP, group * MK_ROW_GROUP, 0, 0};
  const size_t columns = matrix->columns;
  for (size_t first = 0; first < columns; first += RUN_COLUMNS) {
    weights.first_column = first;
    weights.columns = columns - first < RUN_COLUMNS ? columns - first : RUN_COLUMNS;
    for (size_t g = 0; g < (size_t)groups; g++) {
      unpack(matrix->type, matrix->values, ((group + g) * columns + first) * MK_ROW_GROUP,
             weights.columns, floats + g * weights.group_stride);
    }
    run_floats(groups, &weights, matrix, x, out, out_stride);
  }
}

MK_INLINE void run_groups(const mk_weight_type type, const int groups, const mk_matrix *matrix,
                          const mk_activations *x, size_t group, float *out, size_t out_stride) {
  if (type != MK_WEIGHT_F32 && groups <= 2 && x->tokens >= MANY_TOKENS) {
    run_unpacked(groups, matrix, x, group, out, out_stride);
    return;
  }
  const size_t columns = matrix->columns;
  const size_t bytes = type == MK_WEIGHT_F32 ? 4 : 2;
  const char *values = (const char *)matrix->values + group * columns * MK_ROW_GROUP * bytes;
  const run_weights weights = {values, columns * MK_ROW_GROUP, group * MK_ROW_GROUP, columns, 0};
  run_tokens(type, groups, &weights, matrix, x, out, out_stride);
}

MK_INLINE void run_type(const mk_weight_type type, const mk_matrix *weights,
                        const mk_activations *x, size_t group_begin, size_t group_end, float *out,
                        size_t out_stride) {
  size_t group = group_begin;
  if (x->tokens < 8) {
    for (; group + 4 <= group_end; group += 4) {
      run_groups(type, 4, weights, x, group, out, out_stride);
    }
  }
  for (; group + 2 <= group_end; group += 2) {
    run_groups(type, 2, weights, x, group, out, out_stride);
  }
  for (; group < group_end; group++) run_groups(type, 1, weights, x, group, out, out_stride);
}

MK_TARGET void mk_matmul_float_avx512(const mk_matrix *weights, const mk_activations *x,
                                      size_t group_begin, size_t group_end, float *out,
                                      size_t out_stride) {
  switch (weights->type) {
    case MK_WEIGHT_F16:
      run_type(MK_WEIGHT_F16, weights, x, group_begin, group_end, out, out_stride);
      break;
    case MK_WEIGHT_BF16:
      run_type(MK_WEIGHT_BF16, weights, x, group_begin, group_end, out, out_stride);
      break;
    default:
      run_type(MK_WEIGHT_F32, weights, x, group_begin, group_end, out, out_stride);
  }
}

#endif
