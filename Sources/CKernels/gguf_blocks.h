// Blocks of quantized tensors as GGUF files hold them, one after the other along a row, and the
// numbers in them. Source: the block structures and dequantize_row functions of ggml
// (ggml-common.h, ggml-quants.c).
//
//   q8_0  scale: half; quants: 32 signed bytes
//   q4_0  scale: half; 16 bytes, value i in the low half of byte i, value i + 16 in the high half
//   q5_0  scale: half; 32 bits, the fifth bit of each value; then as q4_0
//   q4_K  scale, min: halves; 12 bytes of eight 6-bit scales and eight 6-bit mins; 128 bytes, of
//         each 64 values the first 32 in the low halves of 32 bytes, the others in the high halves
//   q6_K  128 bytes of low halves; 64 bytes of upper two bits; 16 signed scales; scale: half

#ifndef MILLRACE_GGUF_BLOCKS_H
#define MILLRACE_GGUF_BLOCKS_H

#include "packed.h"

#define MK_Q8_0_BYTES 34
#define MK_Q5_0_BYTES 22
#define MK_Q4_0_BYTES 18
#define MK_Q4_K_BYTES 144
#define MK_Q6_K_BYTES 210

static inline uint16_t mk_read_half(const uint8_t *from) {
  uint16_t half;
  memcpy(&half, from, sizeof half);
  return half;
}

// Columns and bytes of one block.
static inline size_t mk_source_columns(mk_weight_type type) {
  if (!mk_is_quantized(type)) return 1;
  return type == MK_WEIGHT_Q4_K || type == MK_WEIGHT_Q6_K ? MK_SUPERBLOCK : MK_BLOCK;
}

static inline size_t mk_source_bytes(mk_weight_type type) {
  switch (type) {
    case MK_WEIGHT_F32:
      return 4;
    case MK_WEIGHT_F16:
    case MK_WEIGHT_BF16:
      return 2;
    case MK_WEIGHT_Q8_0:
      return MK_Q8_0_BYTES;
    case MK_WEIGHT_Q5_0:
      return MK_Q5_0_BYTES;
    case MK_WEIGHT_Q4_0:
      return MK_Q4_0_BYTES;
    case MK_WEIGHT_Q4_K:
      return MK_Q4_K_BYTES;
    case MK_WEIGHT_Q6_K:
      return MK_Q6_K_BYTES;
  }
  return 4;
}

// Value i of a block as it is packed: over its zero point, except that q5_0 is moved to q8_0's.
static inline uint8_t mk_source_value(mk_weight_type type, const uint8_t *block, size_t i) {
  switch (type) {
    case MK_WEIGHT_Q8_0:
      return block[2 + i] ^ 0x80u;
    case MK_WEIGHT_Q5_0: {
      uint32_t high = (uint32_t)(block[2 + i / 8] >> (i % 8) & 1) << 4;
      uint32_t low = (block[6 + i % 16] >> (i / 16 * 4)) & 15;
      return (uint8_t)((low | high) + 112);
    }
    case MK_WEIGHT_Q4_0:
      return (block[2 + i % 16] >> (i / 16 * 4)) & 15;
    case MK_WEIGHT_Q4_K:
      return (block[16 + i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4)) & 15;
    case MK_WEIGHT_Q6_K: {
      size_t half = i / 128;
      size_t quarter = i % 128 / 32;
      uint8_t low = block[half * 64 + quarter % 2 * 32 + i % 32] >> (quarter / 2 * 4) & 15;
      uint8_t high = block[128 + half * 32 + i % 32] >> (quarter * 2) & 3;
      return (uint8_t)(low | high << 4);
    }
    default:
      return 0;
  }
}

// The 6-bit scale (or min) of part j, 0 to 7, of a q4_K block: of the first four, six bits of
// bytes 0 to 3 (or 4 to 7); of the others, four bits of bytes 8 to 11 and two upper bits of the
// former.
static inline uint8_t mk_q4_k_scale(const uint8_t *block, size_t j) {
  const uint8_t *packed = block + 4;
  if (j < 4) return packed[j] & 63;
  return (uint8_t)((packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4);
}

static inline uint8_t mk_q4_k_min(const uint8_t *block, size_t j) {
  const uint8_t *packed = block + 4;
  if (j < 4) return packed[j + 4] & 63;
  return (uint8_t)(packed[j + 4] >> 4 | (packed[j] >> 6) << 4);
}

#endif
