// Sixteen floats at a time, for kernels that are the same text on AVX2 and AVX-512: the compiler
// makes one register of them or two. Include after avx2.h or avx512.h.

#ifndef MILLRACE_VECTOR_H
#define MILLRACE_VECTOR_H

typedef float mk_v16 __attribute__((vector_size(64)));
typedef int32_t mk_v16i __attribute__((vector_size(64)));
typedef double mk_v16d __attribute__((vector_size(128)));
typedef float mk_v16u __attribute__((vector_size(64), aligned(4)));

#define MK_LOAD(pointer) (*(const mk_v16u *)(pointer))
#define MK_STORE(pointer, value) (*(mk_v16u *)(pointer) = (value))
#define MK_SPLAT(value) ((value) - (mk_v16){0})
#define MK_FMA(a, b, c) __builtin_elementwise_fma(a, b, c)
#define MK_SELECT(mask, a, b) ((mk_v16)(((mk_v16i)(a) & (mask)) | ((mk_v16i)(b) & ~(mask))))

// The first `count` values, then zeros.
MK_INLINE void mk_load_part(const float *x, size_t count, mk_v16 *out) {
  float lanes[16] = {0};
  memcpy(lanes, x, count * sizeof(float));
  *out = MK_LOAD(lanes);
}

MK_INLINE void mk_store_part(float *x, size_t count, const mk_v16 *value) {
  float lanes[16];
  MK_STORE(lanes, *value);
  memcpy(x, lanes, count * sizeof(float));
}

// Adds 16 lanes pairwise at distances 8, 4, 2, 1.
MK_INLINE float mk_tree_vector(const mk_v16 *value) {
  float lanes[16];
  MK_STORE(lanes, *value);
  __m256 eight = _mm256_add_ps(_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + 8));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// The largest of 16 values, none of which is a NaN.
MK_INLINE float mk_max_vector(const mk_v16 *value) {
  float lanes[16];
  MK_STORE(lanes, *value);
  __m256 eight = _mm256_max_ps(_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + 8));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// exp of 16 values: the steps of mk_exp_one.
MK_INLINE void mk_exp_vector(const mk_v16 *input, mk_v16 *out) {
  const mk_v16 original = *input;
  mk_v16 x = original;
  const mk_v16 highest = MK_SPLAT(MK_EXP_HIGHEST);
  x = MK_SELECT(x > highest, highest, x);
  const mk_v16 rounder = MK_SPLAT(MK_EXP_ROUNDER);
  const mk_v16 n = MK_FMA(x, MK_SPLAT(MK_EXP_LOG2E), rounder) - rounder;
  mk_v16 r = MK_FMA(n, MK_SPLAT(-MK_EXP_LN2_HIGH), x);
  r = MK_FMA(n, MK_SPLAT(-MK_EXP_LN2_LOW), r);
  mk_v16 p = MK_FMA(MK_SPLAT(MK_EXP_C7), r, MK_SPLAT(MK_EXP_C6));
  p = MK_FMA(p, r, MK_SPLAT(MK_EXP_C5));
  p = MK_FMA(p, r, MK_SPLAT(MK_EXP_C4));
  p = MK_FMA(p, r, MK_SPLAT(MK_EXP_C3));
  p = MK_FMA(p, r, MK_SPLAT(MK_EXP_C2));
  p = MK_FMA(p, r, MK_SPLAT(1.0f));
  p = MK_FMA(p, r, MK_SPLAT(1.0f));
  // The exponent of 2^n from the low bits of n + 1.5 * 2^23, which hold n; lanes out of range are
  // replaced below.
  const mk_v16i power = (((mk_v16i)(n + rounder) - (mk_v16i)rounder) + 127) << 23;
  p = p * (mk_v16)power;
  p = MK_SELECT(original < MK_SPLAT(MK_EXP_LOWEST), MK_SPLAT(0.0f), p);
  *out = MK_SELECT(original != original, original, p);
}

#endif
