// Activation quantization, AVX2. See mk_quantize_row.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#include "activations.h"

MK_INLINE int32_t sum_of(__m256i a, __m256i b) {
  const __m256i sum = _mm256_add_epi32(a, b);
  __m128i total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  total = _mm_add_epi32(total, _mm_shuffle_epi32(total, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(total, _mm_shuffle_epi32(total, 0xB1)));
}

// The bits of the largest magnitude.
MK_INLINE uint32_t largest_of(const float *x, size_t n) {
  const __m256i magnitude_mask = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i top[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t i = 0; i < n; i += 16) {
    for (size_t part = 0; part < 2; part++) {
      const __m256i bits = _mm256_castps_si256(_mm256_loadu_ps(x + i + 8 * part));
      top[part] = _mm256_max_epi32(top[part], _mm256_and_si256(bits, magnitude_mask));
    }
  }
  top[0] = _mm256_max_epi32(top[0], top[1]);
  __m128i half =
      _mm_max_epi32(_mm256_castsi256_si128(top[0]), _mm256_extracti128_si256(top[0], 1));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4E));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xB1));
  return (uint32_t)_mm_cvtsi128_si32(half);
}

MK_TARGET void mk_quantize_row_avx2(const float *x, size_t n, mk_block *blocks) {
  const mk_row_scale row = mk_choose_row_scale(largest_of(x, n));
  if (row.is_zeros) {
    mk_complete_zeros(blocks, n / MK_BLOCK, &row);
    return;
  }
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (size_t block = 0; block < n / MK_BLOCK; block++) {
    const float *in = x + block * MK_BLOCK;
    const uint32_t exponent = mk_scale_exponent(&row, largest_of(in, MK_BLOCK));
    const __m256 inverse = _mm256_set1_ps(row.inverse * mk_power_of_two((int32_t)exponent));
    __m256i q[4];
    for (int i = 0; i < 4; i++) {
      q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(in + 8 * i), inverse));
    }
    const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]),
                                             _mm256_packs_epi32(q[2], q[3]));
    _mm256_storeu_si256((__m256i *)blocks[block].quants,
                        _mm256_permutevar8x32_epi32(bytes, order));
    mk_complete_block(blocks + block, &row, exponent, sum_of(q[0], q[1]), sum_of(q[2], q[3]));
  }
}

#endif
