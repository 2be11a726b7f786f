// Matrix multiplication by q8_0 weights, AVX-512 with VNNI. The chain is told at mk_matmul.
//
// A register tile is 16 rows by up to 8 tokens. Weights are unsigned bytes (quant + 128),
// activations signed and broadcast four at a time; the surplus of 128 * (sum of the block's
// activations) is taken off by starting the integer sum there.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

MK_INLINE void tile(const int tokens, const uint8_t *values, const uint16_t *row_scales,
                    size_t blocks, const int8_t *quants, const float *scales, const int32_t *sums,
                    __m512 *acc) {
  const size_t columns = blocks * MK_BLOCK;
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) acc[t] = _mm512_setzero_ps();
  for (size_t block = 0; block < blocks; block++) {
    const uint8_t *w = values + block * MK_BLOCK * MK_ROW_GROUP;
    __m512i dot[8];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      dot[t] = _mm512_set1_epi32(-128 * sums[t * blocks + block]);
    }
#pragma clang loop unroll(full)
    for (int step = 0; step < MK_BLOCK / 4; step++) {
      const __m512i weight = _mm512_loadu_si512(w + step * 64);
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) {
        int32_t four;
        memcpy(&four, quants + t * columns + block * MK_BLOCK + step * 4, sizeof four);
        dot[t] = _mm512_dpbusd_epi32(dot[t], weight, _mm512_set1_epi32(four));
      }
    }
    const __m512 row_scale = _mm512_cvtph_ps(
        _mm256_loadu_si256((const __m256i *)(row_scales + block * MK_ROW_GROUP)));
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const __m512 scale = _mm512_mul_ps(row_scale, _mm512_set1_ps(scales[t * blocks + block]));
      acc[t] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot[t]), acc[t]);
    }
  }
}

// Runs one tile of `tokens` tokens and stores it.
MK_INLINE void run(const int tokens, const mk_matrix *weights, const mk_activations *x,
                   size_t group, size_t token, float *out, size_t out_stride) {
  const size_t columns = weights->columns;
  const size_t blocks = columns / MK_BLOCK;
  __m512 acc[8];
  tile(tokens, (const uint8_t *)weights->values + group * MK_ROW_GROUP * columns,
       weights->scales + group * MK_ROW_GROUP * blocks, blocks, x->quants + token * columns,
       x->scales + token * blocks, x->sums + token * blocks, acc);
  const size_t first = group * MK_ROW_GROUP;
  const size_t left = weights->rows - first;
  const __mmask16 mask = left < MK_ROW_GROUP ? (__mmask16)((1u << left) - 1) : 0xFFFF;
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    _mm512_mask_storeu_ps(out + (token + (size_t)t) * out_stride + first, mask, acc[t]);
  }
}

MK_TARGET void mk_matmul_q8_0_avx512(const mk_matrix *weights, const mk_activations *x,
                                     size_t group_begin, size_t group_end, float *out,
                                     size_t out_stride) {
  for (size_t group = group_begin; group < group_end; group++) {
    size_t token = 0;
    for (; token + 8 <= x->tokens; token += 8) run(8, weights, x, group, token, out, out_stride);
    for (; token + 4 <= x->tokens; token += 4) run(4, weights, x, group, token, out, out_stride);
    for (; token + 2 <= x->tokens; token += 2) run(2, weights, x, group, token, out, out_stride);
    for (; token < x->tokens; token++) run(1, weights, x, group, token, out, out_stride);
  }
}

#endif
