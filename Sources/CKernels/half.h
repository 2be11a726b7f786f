// Half-precision and bfloat16 to float, exactly, and back, to the nearest with ties to even, in plain
// C. F16C gives the same bits (signalling NaNs aside).

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

// Beyond 65,504, and the half of a step after it, infinity.
static inline uint16_t mk_f16_from_float(float value) {
  uint32_t bits = mk_bits_from_float(value);
  uint32_t sign = (bits >> 16) & 0x8000u;
  uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return (uint16_t)(sign | 0x7E00u);
  if (magnitude >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the steps are of 2^-24, as those of floats are next to 0.5.
    float shifted = mk_float_from_bits(magnitude) + 0.5f;
    return (uint16_t)(sign | (mk_bits_from_float(shifted) - 0x3F000000u));
  }
  magnitude += 0xFFFu + ((magnitude >> 13) & 1u);
  return (uint16_t)(sign | ((magnitude - 0x38000000u) >> 13));
}

static inline uint16_t mk_bf16_from_float(float value) {
  uint32_t bits = mk_bits_from_float(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (uint16_t)((bits >> 16) | 0x40u);
  return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

#endif
