// Attention, AVX-512.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

#define MK_VECTORS 4
#include "attention_vector.h"

#endif
