// Matrix multiplication by q8_0 weights, AVX2. The chain is told at mk_matmul.
//
// A register tile is 8 rows by up to 4 tokens. vpmaddubsw wants one unsigned and one signed operand
// and saturates: the magnitude of the weight (at most 128) times the activation with the weight's
// sign (within +-127), two of them summed, stays within 16 bits.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

MK_INLINE void tile(const int tokens, const uint8_t *values, const uint16_t *row_scales,
                    size_t blocks, const int8_t *quants, const float *scales, __m256 *acc) {
  const size_t columns = blocks * MK_BLOCK;
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i surplus = _mm256_set1_epi8((char)0x80);
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) acc[t] = _mm256_setzero_ps();
  for (size_t block = 0; block < blocks; block++) {
    const uint8_t *w = values + block * MK_BLOCK * MK_ROW_GROUP;
    __m256i dot[4];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) dot[t] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int step = 0; step < MK_BLOCK / 4; step++) {
      const __m256i raw = _mm256_loadu_si256((const __m256i *)(w + step * 64));
      const __m256i weight = _mm256_xor_si256(raw, surplus);
      const __m256i magnitude = _mm256_abs_epi8(weight);
#pragma clang loop unroll(full)
      for (int t = 0; t < tokens; t++) {
        int32_t four;
        memcpy(&four, quants + t * columns + block * MK_BLOCK + step * 4, sizeof four);
        const __m256i signed_quants = _mm256_sign_epi8(_mm256_set1_epi32(four), weight);
        const __m256i pairs = _mm256_maddubs_epi16(magnitude, signed_quants);
        dot[t] = _mm256_add_epi32(dot[t], _mm256_madd_epi16(pairs, ones));
      }
    }
    const __m256 row_scale =
        _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(row_scales + block * MK_ROW_GROUP)));
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const __m256 scale = _mm256_mul_ps(row_scale, _mm256_set1_ps(scales[t * blocks + block]));
      acc[t] = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(dot[t]), acc[t]);
    }
  }
}

// Runs one tile of `tokens` tokens for both halves of a row group and stores it.
MK_INLINE void run(const int tokens, const mk_matrix *weights, const mk_activations *x,
                   size_t group, size_t token, float *out, size_t out_stride) {
  const size_t columns = weights->columns;
  const size_t blocks = columns / MK_BLOCK;
  const uint8_t *values = (const uint8_t *)weights->values + group * MK_ROW_GROUP * columns;
  const uint16_t *scales = weights->scales + group * MK_ROW_GROUP * blocks;
  __m256 low[4], high[4];
  tile(tokens, values, scales, blocks, x->quants + token * columns, x->scales + token * blocks,
       low);
  tile(tokens, values + 32, scales + 8, blocks, x->quants + token * columns,
       x->scales + token * blocks, high);
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    float lanes[MK_ROW_GROUP];
    _mm256_storeu_ps(lanes, low[t]);
    _mm256_storeu_ps(lanes + 8, high[t]);
    mk_store_group(lanes, out + (token + (size_t)t) * out_stride, group, weights->rows);
  }
}

MK_TARGET void mk_matmul_q8_0_avx2(const mk_matrix *weights, const mk_activations *x,
                                   size_t group_begin, size_t group_end, float *out,
                                   size_t out_stride) {
  for (size_t group = group_begin; group < group_end; group++) {
    size_t token = 0;
    for (; token + 4 <= x->tokens; token += 4) run(4, weights, x, group, token, out, out_stride);
    for (; token + 2 <= x->tokens; token += 2) run(2, weights, x, group, token, out, out_stride);
    for (; token < x->tokens; token++) run(1, weights, x, group, token, out, out_stride);
  }
}

#endif
