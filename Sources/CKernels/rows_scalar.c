// Row operations, reference. The order of every sum is told in CKernels.h.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "half.h"
#include "kernels.h"
#include "polynomials.h"
#include "scalar.h"

void mk_rms_norm_scalar(const float *x, const float *weight, size_t n, float epsilon, float *out) {
  float lanes[16] = {0};
  for (size_t i = 0; i < n; i++) lanes[i % 16] = __builtin_fmaf(x[i], x[i], lanes[i % 16]);
  float mean = mk_tree(lanes) / (float)n;
  float inverse = 1.0f / sqrtf(mean + epsilon);
  for (size_t i = 0; i < n; i++) out[i] = (x[i] * inverse) * weight[i];
}

void mk_swiglu_scalar(float *gate, const float *up, size_t n) {
  for (size_t i = 0; i < n; i++) {
    gate[i] = (gate[i] / (1.0f + mk_exp_one(-gate[i]))) * up[i];
  }
}

void mk_add_scalar(float *x, const float *y, size_t rows, size_t stride, size_t n) {
  for (size_t row = 0; row < rows; row++) {
    for (size_t i = 0; i < n; i++) x[row * stride + i] += y[row * stride + i];
  }
}

void mk_exp_scalar(const float *x, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = mk_exp_one(x[i]);
}

double mk_sum_exp_scalar(const float *x, size_t n, float shift) {
  double lanes[16] = {0};
  for (size_t i = 0; i < n; i++) lanes[i % 16] += (double)mk_exp_one(x[i] - shift);
  for (size_t distance = 8; distance > 0; distance /= 2) {
    for (size_t lane = 0; lane < distance; lane++) lanes[lane] += lanes[lane + distance];
  }
  return lanes[0];
}

int64_t mk_argmax_scalar(const float *x, size_t n) {
  size_t best = 0;
  for (size_t i = 0; i < n; i++) {
    if ((mk_bits_from_float(x[i]) & 0x7F800000u) == 0x7F800000u) return -1;
    if (x[i] > x[best]) best = i;
  }
  return (int64_t)best;
}

void mk_rope_scalar(const float *cosines, const float *sines, size_t pairs, float *x,
                    size_t heads, size_t head_dim) {
  for (size_t head = 0; head < heads; head++) {
    float *row = x + head * head_dim;
    for (size_t i = 0; i < pairs; i++) {
      float even = row[2 * i];
      float odd = row[2 * i + 1];
      row[2 * i] = __builtin_fmaf(even, cosines[i], -(odd * sines[i]));
      row[2 * i + 1] = __builtin_fmaf(even, sines[i], odd * cosines[i]);
    }
  }
}
