// Activation quantization, AVX-512. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

#include "activations.h"

MK_INLINE __m512i magnitudes(__m512 x) {
  return _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(0x7FFFFFFF));
}

// The bits of the largest magnitude.
MK_INLINE uint32_t largest_of(const float *x, size_t n) {
  __m512i low = _mm512_setzero_si512(), high = low;
  for (size_t i = 0; i < n; i += MK_BLOCK) {
    low = _mm512_max_epi32(low, magnitudes(_mm512_loadu_ps(x + i)));
    high = _mm512_max_epi32(high, magnitudes(_mm512_loadu_ps(x + i + 16)));
  }
  return (uint32_t)_mm512_reduce_max_epi32(_mm512_max_epi32(low, high));
}

MK_TARGET void mk_quantize_row_avx512(const float *x, size_t n, mk_block *blocks) {
  const mk_row_scale row = mk_choose_row_scale(largest_of(x, n));
  if (row.is_zeros) {
    mk_complete_zeros(blocks, n / MK_BLOCK, &row);
    return;
  }
  const __m128i ones = _mm_set1_epi8(1);
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const float *in = x + block * MK_BLOCK;
    const __m512 low = _mm512_loadu_ps(in);
    const __m512 high = _mm512_loadu_ps(in + 16);
    const uint32_t exponent = mk_scale_exponent(&row, largest_of(in, MK_BLOCK));
    const __m512 inverse = _mm512_set1_ps(row.inverse * mk_power_of_two((int32_t)exponent));
    const __m512i low_quants = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
    const __m512i high_quants = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
    const __m128i low_bytes = _mm512_cvtsepi32_epi8(low_quants);
    const __m128i high_bytes = _mm512_cvtsepi32_epi8(high_quants);
    __m128i *out = (__m128i *)blocks[block].quants;
    _mm_storeu_si128(out, low_bytes);
    _mm_storeu_si128(out + 1, high_bytes);
    // Sums of four, then of both halves at once.
    const __m128i fours = _mm_hadd_epi32(_mm_dpbusd_epi32(_mm_setzero_si128(), ones, low_bytes),
                                         _mm_dpbusd_epi32(_mm_setzero_si128(), ones, high_bytes));
    const __m128i sums = _mm_hadd_epi32(fours, fours);
    mk_complete_block(blocks + block, &row, exponent, _mm_cvtsi128_si32(sums),
                      _mm_extract_epi32(sums, 1));
  }
}

#endif
