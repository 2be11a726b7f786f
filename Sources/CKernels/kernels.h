// The set of kernels that each path provides; dispatch.c picks one of these tables.

#ifndef MILLRACE_KERNELS_H
#define MILLRACE_KERNELS_H

#include "CKernels.h"

typedef struct {
  void (*quantize_row)(const float *x, size_t n, mk_block *blocks);
  void (*matmul_quantized)(const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                           size_t group_end, const mk_ahead *ahead, float *out,
                           size_t out_stride);
  void (*matmul_float)(const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                       size_t group_end, float *out, size_t out_stride);
  void (*rms_norm)(const float *x, const float *weight, size_t n, float epsilon, float *out);
  void (*swiglu)(float *gate, const float *up, size_t n);
  void (*add)(float *x, const float *y, size_t rows, size_t stride, size_t n);
  void (*exp)(const float *x, size_t n, float *out);
  double (*sum_exp)(const float *x, size_t n, float shift);
  int64_t (*argmax)(const float *x, size_t n);
  void (*rope)(const float *cosines, const float *sines, size_t pairs, float *x, size_t heads,
               size_t head_dim);
  void (*attention)(const mk_kv_layer *layer, const mk_attention_run *run, const float *queries,
                    float *out, float *scratch);
} mk_kernels;

// Declares, or names, the functions of one path.
#define MK_DECLARE(path)                                                                        \
  void mk_quantize_row_##path(const float *, size_t, mk_block *);                               \
  void mk_matmul_quantized_##path(const mk_matrix *, const mk_activations *, size_t, size_t,    \
                                  const mk_ahead *, float *, size_t);                           \
  void mk_matmul_float_##path(const mk_matrix *, const mk_activations *, size_t, size_t,        \
                              float *, size_t);                                                 \
  void mk_rms_norm_##path(const float *, const float *, size_t, float, float *);                \
  void mk_swiglu_##path(float *, const float *, size_t);                                        \
  void mk_add_##path(float *, const float *, size_t, size_t, size_t);                           \
  void mk_exp_##path(const float *, size_t, float *);                                           \
  double mk_sum_exp_##path(const float *, size_t, float);                                       \
  int64_t mk_argmax_##path(const float *, size_t);                                              \
  void mk_rope_##path(const float *, const float *, size_t, float *, size_t, size_t);           \
  void mk_attention_##path(const mk_kv_layer *, const mk_attention_run *, const float *,        \
                           float *, float *);

#define MK_TABLE(path)                                                                          \
  {                                                                                             \
    mk_quantize_row_##path, mk_matmul_quantized_##path, mk_matmul_float_##path,                 \
        mk_rms_norm_##path, mk_swiglu_##path, mk_add_##path, mk_exp_##path, mk_sum_exp_##path,  \
        mk_argmax_##path, mk_rope_##path, mk_attention_##path                                   \
  }

MK_DECLARE(scalar)
MK_DECLARE(avx2)
MK_DECLARE(avx512)

// Writes 16 results of one row group, leaving out the rows that only pad it.
static inline void mk_store_group(const float lanes[MK_ROW_GROUP], float *out, size_t group,
                                  size_t rows) {
  size_t first = group * MK_ROW_GROUP;
  size_t count = rows - first < MK_ROW_GROUP ? rows - first : MK_ROW_GROUP;
  for (size_t lane = 0; lane < count; lane++) out[first + lane] = lanes[lane];
}

#endif
