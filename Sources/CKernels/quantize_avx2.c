// Activation quantization, AVX2. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

MK_TARGET void mk_quantize_row_avx2(const float *x, size_t n, int8_t *quants, float *scales,
                                    int32_t *sums) {
  const __m256i magnitude_mask = _mm256_set1_epi32(0x7FFFFFFF);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    __m256 v[4];
    __m256i top = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
      v[i] = _mm256_loadu_ps(x + block * MK_BLOCK + 8 * i);
      top = _mm256_max_epi32(top, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude_mask));
    }
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(top), _mm256_extracti128_si256(top, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
    uint32_t largest = (uint32_t)_mm_cvtsi128_si32(half);
    float amax = mk_float_from_bits(largest);
    __m256i *out = (__m256i *)(quants + block * MK_BLOCK);
    if (largest >= 0x7F800000u || amax < MK_QUANTIZE_SMALLEST) {
      _mm256_storeu_si256(out, _mm256_setzero_si256());
      sums[block] = 0;
      scales[block] = largest >= 0x7F800000u ? NAN : 0.0f;
      continue;
    }
    const __m256 inverse = _mm256_set1_ps(127.0f / amax);
    __m256i q[4];
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
      q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
      sum = _mm256_add_epi32(sum, q[i]);
    }
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]),
                                       _mm256_packs_epi32(q[2], q[3]));
    _mm256_storeu_si256(out, _mm256_permutevar8x32_epi32(bytes, order));
    __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
    total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1));
    scales[block] = amax / 127.0f;
    sums[block] = _mm_cvtsi128_si32(total);
  }
}

#endif
