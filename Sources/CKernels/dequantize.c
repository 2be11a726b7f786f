// Unpacking of single rows of a GGUF tensor. Formulas: see mk_weight_type.

#pragma STDC FP_CONTRACT OFF

#include "gguf_blocks.h"

static void unpack_halves(mk_weight_type type, const uint8_t *from, size_t columns, float *out) {
  for (size_t i = 0; i < columns; i++) {
    uint16_t half = mk_read_half(from + i * sizeof half);
    out[i] = type == MK_WEIGHT_F16 ? mk_float_from_f16(half) : mk_float_from_bf16(half);
  }
}

// A block of one half-float scale.
static void unpack_plain(mk_weight_type type, const uint8_t *block, float *out) {
  // q5_0 values come on q8_0's zero point.
  int32_t zero = mk_zero_point(type);
  float scale = mk_float_from_f16(mk_read_half(block));
  for (size_t i = 0; i < MK_BLOCK; i++) {
    out[i] = scale * (float)((int32_t)mk_source_value(type, block, i) - zero);
  }
}

static void unpack_q4_k(const uint8_t *block, float *out) {
  float scale = mk_float_from_f16(mk_read_half(block));
  float min = mk_float_from_f16(mk_read_half(block + 2));
  for (size_t i = 0; i < MK_SUPERBLOCK; i++) {
    float part_scale = scale * (float)mk_q4_k_scale(block, i / 32);
    float part_min = min * (float)mk_q4_k_min(block, i / 32);
    out[i] = part_scale * (float)mk_source_value(MK_WEIGHT_Q4_K, block, i) - part_min;
  }
}

static void unpack_q6_k(const uint8_t *block, float *out) {
  float scale = mk_float_from_f16(mk_read_half(block + 208));
  for (size_t i = 0; i < MK_SUPERBLOCK; i++) {
    float part_scale = scale * (float)(int8_t)block[192 + i / 16];
    out[i] = part_scale * (float)((int32_t)mk_source_value(MK_WEIGHT_Q6_K, block, i) - 32);
  }
}

void mk_dequantize_row(mk_weight_type type, const void *row, size_t columns, float *out) {
  if (type == MK_WEIGHT_F32) {
    memcpy(out, row, columns * sizeof(float));
    return;
  }
  if (!mk_is_quantized(type)) {
    unpack_halves(type, row, columns, out);
    return;
  }
  size_t width = mk_source_columns(type);
  for (size_t index = 0; index < columns / width; index++) {
    const uint8_t *block = (const uint8_t *)row + index * mk_source_bytes(type);
    if (type == MK_WEIGHT_Q4_K) {
      unpack_q4_k(block, out + index * width);
    } else if (type == MK_WEIGHT_Q6_K) {
      unpack_q6_k(block, out + index * width);
    } else {
      unpack_plain(type, block, out + index * width);
    }
  }
}
