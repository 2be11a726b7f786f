// Packing of weights at load. Layouts: see mk_matrix, and gguf_blocks.h for the source.

#pragma STDC FP_CONTRACT OFF

#include "gguf_blocks.h"

static size_t group_count(size_t rows) { return (rows + MK_ROW_GROUP - 1) / MK_ROW_GROUP; }

size_t mk_packed_value_bytes(mk_weight_type type, size_t rows, size_t columns) {
  size_t values = group_count(rows) * MK_ROW_GROUP * columns;
  if (!mk_is_quantized(type)) return values * mk_source_bytes(type);
  return mk_has_nibbles(type) ? values / 2 : values;
}

size_t mk_packed_scale_bytes(mk_weight_type type, size_t rows, size_t columns) {
  size_t groups = group_count(rows);
  switch (type) {
    case MK_WEIGHT_Q4_K:
      return groups * (columns / MK_SUPERBLOCK) * sizeof(mk_q4_k_scales);
    case MK_WEIGHT_Q6_K:
      return groups * (columns / MK_SUPERBLOCK) * sizeof(mk_q6_k_scales);
    default:
      if (!mk_is_quantized(type)) return 0;
      return groups * MK_ROW_GROUP * (columns / MK_BLOCK) * sizeof(uint16_t);
  }
}

// The values of one row of a group; a row that only pads the group stands for zeros. Compiled for
// each type.
static inline __attribute__((always_inline)) void pack_values_of(
    const mk_weight_type type, const mk_matrix *to, size_t group, size_t lane,
    const uint8_t *row) {
  const size_t width = mk_source_columns(type);
  const size_t bytes = mk_block_value_bytes(type);
  uint8_t *values = (uint8_t *)mk_block_values(to, group, 0) + lane * 4;
  for (size_t block = 0; block < to->columns / MK_BLOCK; block++, values += bytes) {
    const size_t first = block * MK_BLOCK;
    const uint8_t *from = row == NULL ? NULL : row + first / width * mk_source_bytes(type);
    uint8_t spread[MK_BLOCK];
    for (size_t i = 0; i < MK_BLOCK; i++) {
      spread[i] = from == NULL ? (uint8_t)mk_zero_point(type)
                               : mk_source_value(type, from, first % width + i);
    }
    if (mk_has_nibbles(type)) {
      for (size_t i = 0; i < MK_BLOCK / 2; i++) {
        const size_t low = i / 4 * 8 + i % 4;
        values[i / 4 * 64 + i % 4] = (uint8_t)(spread[low] | spread[low + 4] << 4);
      }
    } else {
      for (size_t i = 0; i < MK_BLOCK; i += 4) memcpy(values + i * 16, spread + i, 4);
    }
  }
}

static void pack_values(const mk_matrix *to, size_t group, size_t lane, const uint8_t *row) {
  switch (to->type) {
    case MK_WEIGHT_Q5_0:
      pack_values_of(MK_WEIGHT_Q5_0, to, group, lane, row);
      break;
    case MK_WEIGHT_Q4_0:
      pack_values_of(MK_WEIGHT_Q4_0, to, group, lane, row);
      break;
    case MK_WEIGHT_Q4_K:
      pack_values_of(MK_WEIGHT_Q4_K, to, group, lane, row);
      break;
    case MK_WEIGHT_Q6_K:
      pack_values_of(MK_WEIGHT_Q6_K, to, group, lane, row);
      break;
    default:
      pack_values_of(MK_WEIGHT_Q8_0, to, group, lane, row);
  }
}

static void pack_q4_k_scales(const uint8_t *block, size_t lane, mk_q4_k_scales *to) {
  to->scale[lane] = block == NULL ? 0 : mk_read_half(block);
  to->min[lane] = block == NULL ? 0 : mk_read_half(block + 2);
  for (size_t part = 0; part < MK_SUPERBLOCK_BLOCKS; part++) {
    const unsigned scale = block == NULL ? 0 : mk_q4_k_scale(block, part);
    const unsigned min = block == NULL ? 0 : mk_q4_k_min(block, part);
    uint8_t *high = &to->high[part / 2][lane];
    to->low[part][lane] = (uint8_t)((scale & 15) | (min & 15) << 4);
    if (part % 2 == 0) *high = 0;
    *high |= (uint8_t)((scale >> 4 | min >> 4 << 2) << part % 2 * 4);
  }
}

static void pack_q6_k_scales(const uint8_t *block, size_t lane, mk_q6_k_scales *to) {
  to->scale[lane] = block == NULL ? 0 : mk_read_half(block + 208);
  for (size_t part = 0; part < 2 * MK_SUPERBLOCK_BLOCKS; part++) {
    to->scales[part][lane] = block == NULL ? 0 : (int8_t)block[192 + part];
  }
}

static void pack_scales(const mk_matrix *to, size_t group, size_t lane, const uint8_t *row) {
  size_t width = mk_source_columns(to->type);
  size_t bytes = mk_source_bytes(to->type);
  for (size_t index = 0; index < to->columns / width; index++) {
    const uint8_t *from = row == NULL ? NULL : row + index * bytes;
    size_t block = index * width / MK_BLOCK;
    if (to->type == MK_WEIGHT_Q4_K) {
      pack_q4_k_scales(from, lane, (mk_q4_k_scales *)mk_q4_k_scales_of(to, group, block));
    } else if (to->type == MK_WEIGHT_Q6_K) {
      pack_q6_k_scales(from, lane, (mk_q6_k_scales *)mk_q6_k_scales_of(to, group, block));
    } else {
      uint16_t *scales = (uint16_t *)mk_block_scales(to, group, block);
      scales[lane] = from == NULL ? 0 : mk_read_half(from);
    }
  }
}

static void pack_float_row(const uint8_t *row, size_t columns, size_t bytes, size_t lane,
                           uint8_t *values) {
  for (size_t column = 0; column < columns; column++) {
    uint8_t *to = values + (column * MK_ROW_GROUP + lane) * bytes;
    if (row == NULL) {
      memset(to, 0, bytes);
    } else {
      memcpy(to, row + column * bytes, bytes);
    }
  }
}

void mk_pack(mk_weight_type type, size_t rows, size_t columns, const void *source,
             size_t group_begin, size_t group_end, void *values, void *scales) {
  const mk_matrix to = {type, rows, columns, values, scales};
  size_t bytes = mk_source_bytes(type);
  size_t row_bytes = columns / mk_source_columns(type) * bytes;
  for (size_t group = group_begin; group < group_end; group++) {
    for (size_t lane = 0; lane < MK_ROW_GROUP; lane++) {
      size_t row = group * MK_ROW_GROUP + lane;
      const uint8_t *from = row < rows ? (const uint8_t *)source + row * row_bytes : NULL;
      if (mk_is_quantized(type)) {
        pack_values(&to, group, lane, from);
        pack_scales(&to, group, lane, from);
      } else {
        pack_float_row(from, columns, bytes, lane,
                       (uint8_t *)values + group * MK_ROW_GROUP * columns * bytes);
      }
    }
  }
}
