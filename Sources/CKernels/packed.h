// Where things lie in packed quantized weights. The layouts are told at mk_matrix.

#ifndef MILLRACE_PACKED_H
#define MILLRACE_PACKED_H

#include "half.h"
#include "kernels.h"

// Values of a K-quant that share its half-float scale, in blocks of 32.
#define MK_SUPERBLOCK 256
#define MK_SUPERBLOCK_BLOCKS (MK_SUPERBLOCK / MK_BLOCK)

// The scales of 16 rows by 256 columns of q4_K. Those of a block, and its mins, have six bits each:
// low ones, a scale's below a min's, and high ones, of two blocks to a byte.
typedef struct {
  uint16_t scale[MK_ROW_GROUP];
  uint16_t min[MK_ROW_GROUP];
  uint8_t low[MK_SUPERBLOCK_BLOCKS][MK_ROW_GROUP];
  uint8_t high[MK_SUPERBLOCK_BLOCKS / 2][MK_ROW_GROUP];
} mk_q4_k_scales;

// The scales of 16 rows by 256 columns of q6_K: one for every 16 columns.
typedef struct {
  uint16_t scale[MK_ROW_GROUP];
  int8_t scales[2 * MK_SUPERBLOCK_BLOCKS][MK_ROW_GROUP];
} mk_q6_k_scales;

static inline bool mk_is_quantized(mk_weight_type type) { return type >= MK_WEIGHT_Q8_0; }

// Whether packed values are two to a byte.
static inline bool mk_has_nibbles(mk_weight_type type) {
  return type == MK_WEIGHT_Q4_0 || type == MK_WEIGHT_Q4_K;
}

// The packed value that stands for zero.
static inline int32_t mk_zero_point(mk_weight_type type) {
  switch (type) {
    case MK_WEIGHT_Q4_0:
      return 8;
    case MK_WEIGHT_Q6_K:
      return 32;
    case MK_WEIGHT_Q4_K:
      return 0;
    default:
      return 128;
  }
}

// Blocks of a run: a row is cut into as few runs of at most `most` blocks as possible, of about the
// same length.
static inline size_t mk_run_blocks(size_t blocks, size_t most) {
  size_t runs = (blocks + most - 1) / most;
  return (blocks + runs - 1) / runs;
}

static inline size_t mk_block_value_bytes(mk_weight_type type) {
  return MK_ROW_GROUP * MK_BLOCK / (mk_has_nibbles(type) ? 2 : 1);
}

// The bytes of scales that belong to 16 rows by 32 columns.
static inline size_t mk_block_scale_bytes(mk_weight_type type) {
  switch (type) {
    case MK_WEIGHT_Q4_K:
      return sizeof(mk_q4_k_scales) / MK_SUPERBLOCK_BLOCKS;
    case MK_WEIGHT_Q6_K:
      return sizeof(mk_q6_k_scales) / MK_SUPERBLOCK_BLOCKS;
    default:
      return MK_ROW_GROUP * sizeof(uint16_t);
  }
}

// The values of 16 rows by 32 columns.
static inline const uint8_t *mk_block_values(const mk_matrix *weights, size_t group,
                                             size_t block) {
  size_t index = group * (weights->columns / MK_BLOCK) + block;
  return (const uint8_t *)weights->values + index * mk_block_value_bytes(weights->type);
}

// The half-float scales of 16 rows by 32 columns of q8_0, q5_0 and q4_0.
static inline const uint16_t *mk_block_scales(const mk_matrix *weights, size_t group,
                                              size_t block) {
  size_t index = group * (weights->columns / MK_BLOCK) + block;
  return (const uint16_t *)weights->scales + index * MK_ROW_GROUP;
}

// All scales of 16 rows, of whatever type.
static inline const void *mk_row_scales(const mk_matrix *weights, size_t group) {
  const size_t row_bytes = weights->columns / MK_BLOCK * mk_block_scale_bytes(weights->type);
  return (const char *)weights->scales + group * row_bytes;
}

static inline size_t mk_superblock_index(const mk_matrix *weights, size_t group, size_t block) {
  return group * (weights->columns / MK_SUPERBLOCK) + block / MK_SUPERBLOCK_BLOCKS;
}

static inline const mk_q4_k_scales *mk_q4_k_scales_of(const mk_matrix *weights, size_t group,
                                                      size_t block) {
  return (const mk_q4_k_scales *)weights->scales + mk_superblock_index(weights, group, block);
}

// The scale and the min of a row of one of the blocks.
static inline uint8_t mk_q4_k_scale_of(const mk_q4_k_scales *from, size_t part, size_t lane) {
  const uint8_t high = from->high[part / 2][lane] >> part % 2 * 4;
  return (uint8_t)((from->low[part][lane] & 15) | (high & 3) << 4);
}

static inline uint8_t mk_q4_k_min_of(const mk_q4_k_scales *from, size_t part, size_t lane) {
  const uint8_t high = from->high[part / 2][lane] >> part % 2 * 4;
  return (uint8_t)(from->low[part][lane] >> 4 | (high & 12) << 2);
}

static inline const mk_q6_k_scales *mk_q6_k_scales_of(const mk_matrix *weights, size_t group,
                                                      size_t block) {
  return (const mk_q6_k_scales *)weights->scales + mk_superblock_index(weights, group, block);
}

#endif
