// Row operations, AVX2.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#include "rows_vector.h"

#endif
