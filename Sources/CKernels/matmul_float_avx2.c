// Matrix multiplication by f32, f16 and bf16 weights, AVX2. The chain is told at mk_matmul.
//
// A register tile is one group of 16 rows (two registers) by up to 4 tokens.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

MK_INLINE __m256 load(const mk_weight_type type, const void *values, size_t index) {
  if (type == MK_WEIGHT_F32) return _mm256_loadu_ps((const float *)values + index);
  const __m128i half = _mm_loadu_si128((const __m128i *)((const uint16_t *)values + index));
  if (type == MK_WEIGHT_F16) return _mm256_cvtph_ps(half);
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

MK_INLINE void run(const mk_weight_type type, const int tokens, const mk_matrix *weights,
                   const mk_activations *x, size_t group, size_t token, float *out,
                   size_t out_stride) {
  const size_t columns = weights->columns;
  const float *rows = x->values + token * columns;
  __m256 low[4], high[4];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) low[t] = high[t] = _mm256_setzero_ps();
  for (size_t column = 0; column < columns; column++) {
    const size_t index = (group * columns + column) * MK_ROW_GROUP;
    const __m256 low_weight = load(type, weights->values, index);
    const __m256 high_weight = load(type, weights->values, index + 8);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const __m256 value = _mm256_set1_ps(rows[(size_t)t * columns + column]);
      low[t] = _mm256_fmadd_ps(low_weight, value, low[t]);
      high[t] = _mm256_fmadd_ps(high_weight, value, high[t]);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    float lanes[MK_ROW_GROUP];
    _mm256_storeu_ps(lanes, low[t]);
    _mm256_storeu_ps(lanes + 8, high[t]);
    mk_store_group(lanes, out + (token + (size_t)t) * out_stride, group, weights->rows);
  }
}

MK_INLINE void run_type(const mk_weight_type type, const mk_matrix *weights,
                        const mk_activations *x, size_t group_begin, size_t group_end, float *out,
                        size_t out_stride) {
  for (size_t group = group_begin; group < group_end; group++) {
    size_t token = 0;
    for (; token + 4 <= x->tokens; token += 4) {
      run(type, 4, weights, x, group, token, out, out_stride);
    }
    for (; token < x->tokens; token++) {
      run(type, 1, weights, x, group, token, out, out_stride);
    }
  }
}

MK_TARGET void mk_matmul_float_avx2(const mk_matrix *weights, const mk_activations *x,
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
