// Which paths this machine can run.

#pragma STDC FP_CONTRACT OFF

#include "CKernels.h"

#if defined(__x86_64__)
bool mk_path_supported(mk_path path) {
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
              __builtin_cpu_supports("f16c");
  switch (path) {
    case MK_PATH_SCALAR:
      return true;
    case MK_PATH_AVX2:
      return avx2;
    case MK_PATH_AVX512:
      return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
  }
  return false;
}
#else
bool mk_path_supported(mk_path path) { return path == MK_PATH_SCALAR; }
#endif
