// Row operations, the text shared by AVX2 and AVX-512. The order of every sum is told in
// CKernels.h.

#include "vector.h"

MK_TARGET void MK_NAME(rms_norm)(const float *x, const float *weight, size_t n, float epsilon,
                                 float *out) {
  mk_v16 lanes = {0};
  const size_t whole = n - n % 16;
  for (size_t i = 0; i < whole; i += 16) {
    const mk_v16 value = MK_LOAD(x + i);
    lanes = MK_FMA(value, value, lanes);
  }
  if (whole < n) {
    mk_v16 value;
    mk_load_part(x + whole, n - whole, &value);
    lanes = MK_FMA(value, value, lanes);
  }
  const float mean = mk_tree_vector(&lanes) / (float)n;
  const float inverse = 1.0f / sqrtf(mean + epsilon);
  for (size_t i = 0; i < n; i++) out[i] = (x[i] * inverse) * weight[i];
}

MK_INLINE void MK_NAME(swiglu_sixteen)(const mk_v16 *gate, const mk_v16 *up, mk_v16 *out) {
  mk_v16 negated = -*gate;
  mk_v16 exponential;
  mk_exp_vector(&negated, &exponential);
  *out = (*gate / (MK_SPLAT(1.0f) + exponential)) * *up;
}

MK_TARGET void MK_NAME(swiglu)(float *gate, const float *up, size_t n) {
  const size_t whole = n - n % 16;
  mk_v16 a, b, result;
  for (size_t i = 0; i < whole; i += 16) {
    a = MK_LOAD(gate + i);
    b = MK_LOAD(up + i);
    MK_NAME(swiglu_sixteen)(&a, &b, &result);
    MK_STORE(gate + i, result);
  }
  if (whole < n) {
    mk_load_part(gate + whole, n - whole, &a);
    mk_load_part(up + whole, n - whole, &b);
    MK_NAME(swiglu_sixteen)(&a, &b, &result);
    mk_store_part(gate + whole, n - whole, &result);
  }
}

// A part of a row is too short for the hardware to foresee the next one.
#define MK_ADD_AHEAD 4

MK_TARGET void MK_NAME(add)(float *x, const float *y, size_t rows, size_t stride, size_t n) {
  for (size_t row = 0; row < rows; row++, x += stride, y += stride) {
    if (row + MK_ADD_AHEAD < rows) {
      const char *next = (const char *)(x + MK_ADD_AHEAD * stride);
      for (size_t at = 0; at < n * sizeof(float); at += 64) _mm_prefetch(next + at, _MM_HINT_T0);
    }
    for (size_t i = 0; i < n; i++) x[i] += y[i];
  }
}

MK_TARGET void MK_NAME(exp)(const float *x, size_t n, float *out) {
  const size_t whole = n - n % 16;
  mk_v16 value, result;
  for (size_t i = 0; i < whole; i += 16) {
    value = MK_LOAD(x + i);
    mk_exp_vector(&value, &result);
    MK_STORE(out + i, result);
  }
  if (whole < n) {
    mk_load_part(x + whole, n - whole, &value);
    mk_exp_vector(&value, &result);
    mk_store_part(out + whole, n - whole, &result);
  }
}

MK_TARGET double MK_NAME(sum_exp)(const float *x, size_t n, float shift) {
  mk_v16d lanes = {0};
  const size_t whole = n - n % 16;
  mk_v16 value, result;
  for (size_t i = 0; i < whole; i += 16) {
    value = MK_LOAD(x + i) - MK_SPLAT(shift);
    mk_exp_vector(&value, &result);
    lanes += __builtin_convertvector(result, mk_v16d);
  }
  double sums[16];
  memcpy(sums, &lanes, sizeof sums);
  if (whole < n) {
    float part[16];
    mk_load_part(x + whole, n - whole, &value);
    value = value - MK_SPLAT(shift);
    mk_exp_vector(&value, &result);
    MK_STORE(part, result);
    for (size_t i = 0; i < n - whole; i++) sums[i] += (double)part[i];
  }
  for (size_t distance = 8; distance > 0; distance /= 2) {
    for (size_t lane = 0; lane < distance; lane++) sums[lane] += sums[lane + distance];
  }
  return sums[0];
}

MK_TARGET int64_t MK_NAME(argmax)(const float *x, size_t n) {
  const size_t whole = n - n % 16;
  const mk_v16i exponent = (mk_v16i){0} + 0x7F800000;
  mk_v16 best = MK_SPLAT(x[0]);
  mk_v16i place = {0};
  mk_v16i index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  mk_v16i bad = {0};
  for (size_t i = 0; i < whole; i += 16) {
    const mk_v16 value = MK_LOAD(x + i);
    bad |= ((mk_v16i)value & exponent) == exponent;
    const mk_v16i better = value > best;
    best = MK_SELECT(better, value, best);
    place = (index & better) | (place & ~better);
    index += 16;
  }
  size_t winner = 0;
  for (int lane = 0; lane < 16; lane++) {
    if (bad[lane]) return -1;
    const size_t candidate = (size_t)place[lane];
    if (x[candidate] > x[winner] || (x[candidate] == x[winner] && candidate < winner)) {
      winner = candidate;
    }
  }
  for (size_t i = whole; i < n; i++) {
    if ((mk_bits_from_float(x[i]) & 0x7F800000u) == 0x7F800000u) return -1;
    if (x[i] > x[winner]) winner = i;
  }
  // x[0] seeds every lane, so it is checked here even where n < 16.
  return (mk_bits_from_float(x[0]) & 0x7F800000u) == 0x7F800000u ? -1 : (int64_t)winner;
}

MK_TARGET void MK_NAME(rope)(const float *cosines, const float *sines, size_t pairs, float *x,
                             size_t heads, size_t head_dim) {
  for (size_t head = 0; head < heads; head++) {
    float *row = x + head * head_dim;
    for (size_t i = 0; i < pairs; i++) {
      const float even = row[2 * i];
      const float odd = row[2 * i + 1];
      row[2 * i] = __builtin_fmaf(even, cosines[i], -(odd * sines[i]));
      row[2 * i + 1] = __builtin_fmaf(even, sines[i], odd * cosines[i]);
    }
  }
}
