// Opens a file of AVX-512 kernels: MK_TARGET functions are compiled for AVX-512 F, BW, DQ, VL and
// VNNI.

#pragma STDC FP_CONTRACT OFF

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "half.h"
#include "kernels.h"
#include "polynomials.h"

#define MK_TARGET \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define MK_INLINE static inline __attribute__((always_inline)) MK_TARGET
#define MK_NAME(op) mk_##op##_avx512
