// Half-precision and bfloat16 to float, exactly, in plain C. F16C gives the same bits (signalling
// NaNs aside).

#ifndef MILLRACE_HALF_H
#define MILLRACE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float mk_float_from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline uint32_t mk_bits_from_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

static inline float mk_float_from_bf16(uint16_t half) {
  return mk_float_from_bits((uint32_t)half << 16);
}

static inline float mk_float_from_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
  uint32_t exponent = (half >> 10) & 0x1Fu;
  uint32_t fraction = half & 0x3FFu;
  if (exponent == 0x1Fu) return mk_float_from_bits(sign | 0x7F800000u | (fraction << 13));
  if (exponent != 0) {
    return mk_float_from_bits(sign | ((exponent + 112u) << 23) | (fraction << 13));
  }
  // Subnormal: fraction * 2^-24, exact in float.
  float magnitude = (float)fraction * 0x1p-24f;
  return mk_float_from_bits(sign | mk_bits_from_float(magnitude));
}

#endif
