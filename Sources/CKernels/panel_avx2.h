// Panels of quantized weights for AVX2: 16 rows by up to 64 blocks, with values as the register
// tile wants them, planes of half bytes, and scales as floats, or both as they are packed. Include
// after avx2.h.

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

// What is unpacked for many tiles.
typedef struct {
  // [block][plane: low, high], a plane in the layout of q8_0.
  _Alignas(64) uint8_t values[MK_PANEL_BLOCKS][2][MK_PLANE_BYTES];
  // q6_K: [block][half][row]; else [block][row].
  _Alignas(64) float scales[MK_PANEL_BLOCKS * 2 * MK_ROW_GROUP];
  _Alignas(64) float mins[MK_PANEL_BLOCKS * MK_ROW_GROUP];
} mk_unpacked;

typedef struct {
  const mk_unpacked *unpacked;
  const uint8_t *packed_values; // [block][512], of nibbles [block][256]
  const void *packed_scales;    // of the whole rows
  size_t first, blocks;         // the run: its first block in the row, and how many
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

// The scales of eight rows from `row` on for a block of a panel, or for half of one, from where they
// are packed; and the mins, of q4_K only.
MK_INLINE __m256 mk_packed_scale(const mk_panel_kind kind, const mk_panel *panel, size_t block,
                                 const int half, size_t row, __m256 *min) {
  const size_t index = panel->first + block;
  const size_t superblock = index / MK_SUPERBLOCK_BLOCKS, part = index % MK_SUPERBLOCK_BLOCKS;
  if (kind == MK_PANEL_Q4_K) {
    const mk_q4_k_scales *s = (const mk_q4_k_scales *)panel->packed_scales + superblock;
    __m128i scale_bytes, min_bytes;
    mk_join_bits(_mm_loadl_epi64((const __m128i *)(s->low[part] + row)),
                 _mm_loadl_epi64((const __m128i *)(s->high[part / 2] + row)), part, &scale_bytes,
                 &min_bytes);
    *min = _mm256_mul_ps(mk_halves_to_floats(s->min + row), mk_bytes_to_floats(min_bytes));
    return _mm256_mul_ps(mk_halves_to_floats(s->scale + row), mk_bytes_to_floats(scale_bytes));
  }
  if (kind == MK_PANEL_Q6) {
    const mk_q6_k_scales *s = (const mk_q6_k_scales *)panel->packed_scales + superblock;
    const __m256 steps = mk_signed_bytes_to_floats(s->scales[2 * part + (size_t)half] + row);
    return _mm256_mul_ps(mk_halves_to_floats(s->scale + row), steps);
  }
  return mk_halves_to_floats((const uint16_t *)panel->packed_scales + index * MK_ROW_GROUP + row);
}

// Makes a panel; it is unpacked if many tiles will use it.
MK_INLINE void mk_panel_prepare(const mk_panel_kind kind, const mk_matrix *weights,
                                const mk_place *at, bool unpack, mk_unpacked *room,
                                mk_panel *panel) {
  *panel = (mk_panel){room, mk_block_values(weights, at->group, at->block),
                      mk_row_scales(weights, at->group), at->block, at->blocks, NULL};
  if (!unpack) return;
  const int halves = kind == MK_PANEL_Q6 ? 2 : 1;
  for (size_t block = 0; block < at->blocks; block++) {
    for (int half = 0; half < halves; half++) {
      const size_t place = (block * (size_t)halves + (size_t)half) * MK_ROW_GROUP;
      for (size_t row = 0; row < MK_ROW_GROUP; row += 8) {
        __m256 min;
        _mm256_store_ps(room->scales + place + row,
                        mk_packed_scale(kind, panel, block, half, row, &min));
        if (kind == MK_PANEL_Q4_K) _mm256_store_ps(room->mins + place + row, min);
      }
    }
    if (mk_panel_has_nibbles(kind)) {
      mk_spread_nibbles(panel->packed_values + block * 256, room->values[block][0]);
    } else {
      mk_split_bytes(panel->packed_values + block * 512, room->values[block][0],
                     room->values[block][1]);
    }
  }
}

#endif
