// Attention, AVX2.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#define MK_VECTORS 1
#include "attention_vector.h"

#endif
