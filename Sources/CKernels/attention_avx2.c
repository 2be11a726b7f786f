// Attention, AVX2.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#define MK_VECTORS 1
#define MK_HALVES(halves, out)                                                        \
  do {                                                                                \
    float *lanes = (float *)&(out);                                                   \
    _mm256_storeu_ps(lanes, _mm256_cvtph_ps(_mm256_castsi256_si128(halves)));         \
    _mm256_storeu_ps(lanes + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))); \
  } while (0)
#include "attention_vector.h"

#endif
