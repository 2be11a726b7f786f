// Panels of quantized weights for AVX2: 16 rows by up to 64 blocks, with values as the register
// tile wants them, planes of half bytes, and scales as floats, or both as they are packed, but for
// K-quants' scales. Include after avx2.h.

#ifndef MILLRACE_PANEL_AVX2_H
#define MILLRACE_PANEL_AVX2_H

#include "panel.h"

// Blocks of 32 columns in a panel: with what is fetched meanwhile it stays in the second cache level
// while all tokens pass.
#define MK_PANEL_BLOCKS 64
#define MK_PLANE_BYTES (MK_ROW_GROUP * MK_BLOCK)

MK_INLINE int mk_panel_planes(const mk_panel_kind kind) {
  return mk_panel_has_nibbles(kind) ? 1 : 2;
}

// Whether a block has one scale a row, a half.
MK_INLINE bool mk_panel_has_halves(const mk_panel_kind kind) {
  return kind == MK_PANEL_Q8 || kind == MK_PANEL_Q4;
}

typedef struct {
  // [block][plane: low, high], a plane in the layout of q8_0.
  _Alignas(64) uint8_t values[MK_PANEL_BLOCKS][2][MK_PLANE_BYTES];
  // q6_K: [block][half][row]; else [block][row].
  _Alignas(64) float scales[MK_PANEL_BLOCKS * 2 * MK_ROW_GROUP];
  _Alignas(64) float mins[MK_PANEL_BLOCKS * MK_ROW_GROUP];
  const uint8_t *packed; // [block][512], of nibbles [block][256]
  const uint16_t *halves; // scales as they are packed, where a block has one a row: [block][row]
  size_t blocks;
  mk_fetcher *fetcher; // of the next panel
} mk_panel;

// Halves to floats, eight.
MK_INLINE __m256 mk_halves_to_floats(const uint16_t *halves) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)halves));
}

MK_INLINE __m256 mk_bytes_to_floats(__m128i bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
}

MK_INLINE __m256 mk_signed_bytes_to_floats(const int8_t *bytes) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)bytes)));
}

// Nibbles of a block to a plane of bytes; in each 64 bytes of the plane are four columns.
MK_INLINE void mk_spread_nibbles(const uint8_t *from, uint8_t *plane) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (size_t i = 0; i < 8; i++) {
    const __m256i pair = _mm256_loadu_si256((const __m256i *)(from + i * 32));
    uint8_t *to = plane + i / 2 * 128 + i % 2 * 32;
    _mm256_store_si256((__m256i *)to, _mm256_and_si256(pair, mask));
    _mm256_store_si256((__m256i *)(to + 64),
                       _mm256_and_si256(_mm256_srli_epi16(pair, 4), mask));
  }
}

// Bytes of a block to two planes.
MK_INLINE void mk_split_bytes(const uint8_t *from, uint8_t *low, uint8_t *high) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (size_t i = 0; i < 16; i++) {
    const __m256i value = _mm256_loadu_si256((const __m256i *)(from + i * 32));
    _mm256_store_si256((__m256i *)(low + i * 32), _mm256_and_si256(value, mask));
    _mm256_store_si256((__m256i *)(high + i * 32),
                       _mm256_and_si256(_mm256_srli_epi16(value, 4), mask));
  }
}

// The scales of eight rows of one block to their places.
MK_INLINE void mk_spread_scales(const mk_panel_kind kind, const mk_matrix *weights, size_t group,
                                size_t block, size_t row, float *scales, float *mins) {
  const size_t part = block % MK_SUPERBLOCK_BLOCKS;
  if (kind == MK_PANEL_Q4_K) {
    const mk_q4_k_scales *s = mk_q4_k_scales_of(weights, group, block);
    const __m256 scale = mk_halves_to_floats(s->scale + row);
    const __m256 min = mk_halves_to_floats(s->min + row);
    __m128i scale_bytes, min_bytes;
    mk_join_bits(_mm_loadl_epi64((const __m128i *)(s->low[part] + row)),
                 _mm_loadl_epi64((const __m128i *)(s->high[part / 2] + row)), part, &scale_bytes,
                 &min_bytes);
    _mm256_store_ps(scales + row, _mm256_mul_ps(scale, mk_bytes_to_floats(scale_bytes)));
    _mm256_store_ps(mins + row, _mm256_mul_ps(min, mk_bytes_to_floats(min_bytes)));
  } else if (kind == MK_PANEL_Q6) {
    const mk_q6_k_scales *s = mk_q6_k_scales_of(weights, group, block);
    const __m256 scale = mk_halves_to_floats(s->scale + row);
    for (size_t half = 0; half < 2; half++) {
      const __m256 steps = mk_signed_bytes_to_floats(s->scales[2 * part + half] + row);
      _mm256_store_ps(scales + half * MK_ROW_GROUP + row, _mm256_mul_ps(scale, steps));
    }
  } else {
    _mm256_store_ps(scales + row,
                    mk_halves_to_floats(mk_block_scales(weights, group, block) + row));
  }
}

// Makes a panel; its values are unpacked if many tiles will use them, and scales as well where they
// are halves.
MK_INLINE void mk_panel_prepare(const mk_panel_kind kind, const mk_matrix *weights,
                                const mk_place *at, bool unpack, mk_panel *panel) {
  const size_t halves = kind == MK_PANEL_Q6 ? 2 : 1;
  for (size_t b = 0; b < at->blocks; b++) {
    const uint8_t *values = mk_block_values(weights, at->group, at->block + b);
    for (size_t row = 0; row < MK_ROW_GROUP && (unpack || !mk_panel_has_halves(kind)); row += 8) {
      mk_spread_scales(kind, weights, at->group, at->block + b, row,
                       panel->scales + b * halves * MK_ROW_GROUP,
                       panel->mins + b * MK_ROW_GROUP);
    }
    if (!unpack) continue;
    if (mk_panel_has_nibbles(kind)) {
      mk_spread_nibbles(values, panel->values[b][0]);
    } else {
      mk_split_bytes(values, panel->values[b][0], panel->values[b][1]);
    }
  }
  panel->packed = mk_block_values(weights, at->group, at->block);
  if (mk_panel_has_halves(kind)) panel->halves = mk_block_scales(weights, at->group, at->block);
  panel->blocks = at->blocks;
}

#endif
