// What a machine can do at most: reading memory, and integer dot products from registers. The
// limits that the speed of a matrix product is held against.

#pragma STDC FP_CONTRACT OFF

#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Sums that do not depend on each other, so that one instruction need not wait for another.
#define CHAINS 16

static uint64_t read_scalar(const uint64_t *words, size_t count) {
  uint64_t sums[4] = {0};
  for (size_t i = 0; i + 4 <= count; i += 4) {
    for (size_t lane = 0; lane < 4; lane++) sums[lane] += words[i + lane];
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

static int32_t multiply_scalar(size_t rounds) {
  // Unsigned, because they go round.
  uint32_t sums[CHAINS] = {0};
  for (size_t round = 0; round < rounds; round++) {
    for (size_t chain = 0; chain < CHAINS; chain++) {
      for (int32_t i = 0; i < 64; i++) {
        const int8_t weight = (int8_t)(uint8_t)((size_t)i - round);
        sums[chain] += (uint32_t)((int32_t)(uint8_t)(round + chain) * (int32_t)weight);
      }
    }
  }
  uint32_t sum = 0;
  for (size_t chain = 0; chain < CHAINS; chain++) sum += sums[chain];
  return (int32_t)sum;
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) static uint64_t read_avx2(const uint64_t *words, size_t count) {
  __m256i sums[4] = {0};
  for (size_t i = 0; i + 16 <= count; i += 16) {
    for (int lane = 0; lane < 4; lane++) {
      const __m256i *next = (const __m256i *)(words + i + lane * 4);
      sums[lane] = _mm256_add_epi64(sums[lane], _mm256_loadu_si256(next));
    }
  }
  const __m256i all =
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  uint64_t lanes[4];
  _mm256_storeu_si256((__m256i *)lanes, all);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Two products of 32 bytes a chain, as the AVX2 kernels take them: to pairs of 16 bits, to 32.
__attribute__((target("avx2"))) static int32_t multiply_avx2(size_t rounds) {
  __m256i sums[CHAINS / 2] = {0};
  const __m256i ones = _mm256_set1_epi16(1);
  for (size_t round = 0; round < rounds; round++) {
    for (int part = 0; part < 4; part++) {
      const __m256i a = _mm256_set1_epi8((char)((round ^ (size_t)part * 32) & 127));
#pragma clang loop unroll(full)
      for (int chain = 0; chain < CHAINS / 2; chain++) {
        const __m256i b = _mm256_set1_epi8((char)(chain + 1));
        const __m256i pairs = _mm256_maddubs_epi16(a, b);
        sums[chain] = _mm256_add_epi32(sums[chain], _mm256_madd_epi16(pairs, ones));
      }
    }
  }
  __m256i sum = sums[0];
  for (int chain = 1; chain < CHAINS / 2; chain++) sum = _mm256_add_epi32(sum, sums[chain]);
  return _mm256_extract_epi32(sum, 0);
}

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))

AVX512 static uint64_t read_avx512(const uint64_t *words, size_t count) {
  __m512i sums[4] = {0};
  for (size_t i = 0; i + 32 <= count; i += 32) {
    for (int lane = 0; lane < 4; lane++) {
      sums[lane] = _mm512_add_epi64(sums[lane], _mm512_loadu_si512(words + i + lane * 8));
    }
  }
  return (uint64_t)_mm512_reduce_add_epi64(
      _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3])));
}

AVX512 static int32_t multiply_avx512(size_t rounds) {
  __m512i sums[CHAINS] = {0};
  for (size_t round = 0; round < rounds; round++) {
    const __m512i a = _mm512_set1_epi8((char)round);
#pragma clang loop unroll(full)
    for (int chain = 0; chain < CHAINS; chain++) {
      sums[chain] = _mm512_dpbusd_epi32(sums[chain], a, _mm512_set1_epi8((char)(chain + 1)));
    }
  }
  __m512i sum = sums[0];
  for (int chain = 1; chain < CHAINS; chain++) sum = _mm512_add_epi32(sum, sums[chain]);
  return _mm512_reduce_add_epi32(sum);
}

uint64_t mk_probe_read(mk_path path, const void *bytes, size_t count) {
  switch (path) {
    case MK_PATH_SCALAR:
      return read_scalar(bytes, count / 8);
    case MK_PATH_AVX2:
      return read_avx2(bytes, count / 8);
    case MK_PATH_AVX512:
      return read_avx512(bytes, count / 8);
  }
  return 0;
}

int32_t mk_probe_multiply(mk_path path, size_t rounds) {
  switch (path) {
    case MK_PATH_SCALAR:
      return multiply_scalar(rounds);
    case MK_PATH_AVX2:
      return multiply_avx2(rounds);
    case MK_PATH_AVX512:
      return multiply_avx512(rounds);
  }
  return 0;
}

#else

uint64_t mk_probe_read(mk_path path, const void *bytes, size_t count) {
  (void)path;
  return read_scalar(bytes, count / 8);
}

int32_t mk_probe_multiply(mk_path path, size_t rounds) {
  (void)path;
  return multiply_scalar(rounds);
}

#endif
