// From a path to its kernels.

#pragma STDC FP_CONTRACT OFF

#include "attention.h"
#include "kernels.h"
#include "packed.h"

static const mk_kernels scalar_kernels = MK_TABLE(scalar);

#if defined(__x86_64__)
static const mk_kernels avx2_kernels = MK_TABLE(avx2);
static const mk_kernels avx512_kernels = MK_TABLE(avx512);

static const mk_kernels *kernels(mk_path path) {
  switch (path) {
    case MK_PATH_SCALAR:
      return &scalar_kernels;
    case MK_PATH_AVX2:
      return &avx2_kernels;
    case MK_PATH_AVX512:
      return &avx512_kernels;
  }
  return &scalar_kernels;
}
#else
static const mk_kernels *kernels(mk_path path) {
  (void)path;
  return &scalar_kernels;
}
#endif

size_t mk_block_stride(size_t columns) { return (columns / MK_BLOCK) | 1; }

void mk_quantize_row(mk_path path, const float *x, size_t n, mk_block *blocks) {
  kernels(path)->quantize_row(x, n, blocks);
}

void mk_matmul(mk_path path, const mk_matrix *weights, const mk_activations *x, size_t group_begin,
               size_t group_end, const mk_ahead *ahead, float *out, size_t out_stride) {
  if (x->tokens == 0) return;
  if (mk_is_quantized(weights->type)) {
    kernels(path)->matmul_quantized(weights, x, group_begin, group_end, ahead, out, out_stride);
  } else {
    kernels(path)->matmul_float(weights, x, group_begin, group_end, out, out_stride);
  }
}

void mk_rms_norm(mk_path path, const float *x, const float *weight, size_t n, float epsilon,
                 float *out) {
  kernels(path)->rms_norm(x, weight, n, epsilon, out);
}

void mk_swiglu(mk_path path, float *gate, const float *up, size_t n) {
  kernels(path)->swiglu(gate, up, n);
}

void mk_add(mk_path path, float *x, const float *y, size_t rows, size_t stride, size_t n) {
  kernels(path)->add(x, y, rows, stride, n);
}

void mk_exp(mk_path path, const float *x, size_t n, float *out) { kernels(path)->exp(x, n, out); }

double mk_sum_exp(mk_path path, const float *x, size_t n, float shift) {
  return kernels(path)->sum_exp(x, n, shift);
}

int64_t mk_argmax(mk_path path, const float *x, size_t n) { return kernels(path)->argmax(x, n); }

void mk_rope(mk_path path, const float *cosines, const float *sines, size_t pairs, float *x,
             size_t heads, size_t head_dim) {
  kernels(path)->rope(cosines, sines, pairs, x, heads, head_dim);
}

void mk_attention(mk_path path, const mk_kv_layer *layer, const mk_attention_run *run,
                  const float *queries, float *out, float *scratch) {
  kernels(path)->attention(layer, run, queries, out, scratch);
}

size_t mk_attention_scratch(size_t group, size_t value_dim) {
  return MK_QUERY_TOKENS * group * mk_attention_row_floats(value_dim) +
         mk_unpacked_floats(value_dim);
}
