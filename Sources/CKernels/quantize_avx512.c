// Activation quantization, AVX-512. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

#include "activations.h"

MK_TARGET void mk_quantize_row_avx512(const float *x, size_t n, mk_block *blocks) {
  const __m512i magnitude_mask = _mm512_set1_epi32(0x7FFFFFFF);
  const __m128i ones = _mm_set1_epi8(1);
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const __m512 low = _mm512_loadu_ps(x + block * MK_BLOCK);
    const __m512 high = _mm512_loadu_ps(x + block * MK_BLOCK + 16);
    const __m512i low_magnitudes = _mm512_and_si512(_mm512_castps_si512(low), magnitude_mask);
    const __m512i high_magnitudes = _mm512_and_si512(_mm512_castps_si512(high), magnitude_mask);
    const __m512i top = _mm512_max_epi32(low_magnitudes, high_magnitudes);
    const uint32_t largest = (uint32_t)_mm512_reduce_max_epi32(top);
    const float amax = mk_float_from_bits(largest);
    const bool quantizable = largest < mk_bits_from_float(MK_QUANTIZE_LIMIT);
    if (!quantizable || amax < MK_QUANTIZE_SMALLEST) {
      mk_complete_odd_block(blocks + block, quantizable);
      continue;
    }
    const __m512 inverse = _mm512_set1_ps(127.0f / amax);
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
    mk_complete_block(blocks + block, mk_block_scale(amax), _mm_cvtsi128_si32(sums),
                      _mm_extract_epi32(sums, 1));
  }
}

#endif
