// Packing of weights at load, and unpacking of single rows. Layouts: see mk_matrix.

#pragma STDC FP_CONTRACT OFF

#include "half.h"
#include "kernels.h"

// A q8_0 block of a GGUF file: a half-float scale, then 32 signed bytes.
#define SOURCE_BLOCK_BYTES 34

static size_t group_count(size_t rows) { return (rows + MK_ROW_GROUP - 1) / MK_ROW_GROUP; }

static size_t value_bytes(mk_weight_type type) {
  switch (type) {
    case MK_WEIGHT_F32:
      return 4;
    case MK_WEIGHT_F16:
    case MK_WEIGHT_BF16:
      return 2;
    case MK_WEIGHT_Q8_0:
      return 1;
  }
  return 4;
}

size_t mk_packed_value_bytes(mk_weight_type type, size_t rows, size_t columns) {
  return group_count(rows) * MK_ROW_GROUP * columns * value_bytes(type);
}

size_t mk_packed_scale_bytes(mk_weight_type type, size_t rows, size_t columns) {
  if (type != MK_WEIGHT_Q8_0) return 0;
  return group_count(rows) * MK_ROW_GROUP * (columns / MK_BLOCK) * sizeof(uint16_t);
}

static void pack_q8_0_row(const uint8_t *row, size_t blocks, size_t lane, uint8_t *values,
                          uint16_t *scales) {
  for (size_t block = 0; block < blocks; block++) {
    uint8_t *to = values + block * MK_BLOCK * MK_ROW_GROUP + lane * 4;
    if (row == NULL) {
      scales[block * MK_ROW_GROUP + lane] = 0;
      for (size_t i = 0; i < MK_BLOCK; i++) to[(i / 4) * 64 + i % 4] = 128;
      continue;
    }
    const uint8_t *from = row + block * SOURCE_BLOCK_BYTES;
    memcpy(scales + block * MK_ROW_GROUP + lane, from, sizeof(uint16_t));
    for (size_t i = 0; i < MK_BLOCK; i++) to[(i / 4) * 64 + i % 4] = from[2 + i] ^ 0x80u;
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
             size_t group_begin, size_t group_end, void *values, uint16_t *scales) {
  size_t bytes = value_bytes(type);
  size_t blocks = columns / MK_BLOCK;
  size_t row_bytes = type == MK_WEIGHT_Q8_0 ? blocks * SOURCE_BLOCK_BYTES : columns * bytes;
  for (size_t group = group_begin; group < group_end; group++) {
    uint8_t *to = (uint8_t *)values + group * MK_ROW_GROUP * columns * bytes;
    for (size_t lane = 0; lane < MK_ROW_GROUP; lane++) {
      size_t row = group * MK_ROW_GROUP + lane;
      const uint8_t *from = row < rows ? (const uint8_t *)source + row * row_bytes : NULL;
      if (type == MK_WEIGHT_Q8_0) {
        pack_q8_0_row(from, blocks, lane, to, scales + group * MK_ROW_GROUP * blocks);
      } else {
        pack_float_row(from, columns, bytes, lane, to);
      }
    }
  }
}

void mk_dequantize_row(mk_weight_type type, const void *row, size_t columns, float *out) {
  const uint8_t *from = row;
  if (type == MK_WEIGHT_F32) {
    memcpy(out, from, columns * sizeof(float));
  } else if (type == MK_WEIGHT_Q8_0) {
    for (size_t i = 0; i < columns; i++) {
      const uint8_t *block = from + (i / MK_BLOCK) * SOURCE_BLOCK_BYTES;
      uint16_t scale;
      memcpy(&scale, block, sizeof scale);
      out[i] = (float)(int8_t)block[2 + i % MK_BLOCK] * mk_float_from_f16(scale);
    }
  } else {
    for (size_t i = 0; i < columns; i++) {
      uint16_t half;
      memcpy(&half, from + i * sizeof half, sizeof half);
      out[i] = type == MK_WEIGHT_F16 ? mk_float_from_f16(half) : mk_float_from_bf16(half);
    }
  }
}
