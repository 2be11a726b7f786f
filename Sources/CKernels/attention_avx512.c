// Attention, AVX-512.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

#define MK_VECTORS 4
#define MK_HALVES(halves, out) ((out) = (mk_v16)_mm512_cvtph_ps(halves))
#include "attention_vector.h"

#endif
