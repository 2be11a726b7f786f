// Panels of quantized weights for AVX-512: 48 rows by up to 128 blocks. Values stay as they are
// packed, scales become floats, or stay packed too. Include after avx512.h.

#ifndef MILLRACE_PANEL_AVX512_H
#define MILLRACE_PANEL_AVX512_H

#include "panel.h"

// Row groups, and blocks of 32 columns, of a panel: it stays in the second cache level while all
// tokens pass, and a tile is long beside its beginning and its end.
#define MK_PANEL_GROUPS 3
#define MK_PANEL_BLOCKS 128

typedef struct {
  // q6_K: [block][half][group][row]; else [block][group][row].
  _Alignas(64) float scales[MK_PANEL_BLOCKS * 2 * MK_PANEL_GROUPS * MK_ROW_GROUP];
  _Alignas(64) float mins[MK_PANEL_BLOCKS * MK_PANEL_GROUPS * MK_ROW_GROUP];
} mk_panel_scales;

typedef struct {
  const uint8_t *values[MK_PANEL_GROUPS];  // [block][512], of nibbles [block][256]
  const float *scales;
  const float *mins;
  const void *packed_scales[MK_PANEL_GROUPS]; // of the whole rows
  size_t first, blocks; // the run: its first block in the row, and how many
  mk_fetcher *fetcher; // of the next panel
} mk_panel;

MK_INLINE __m512 mk_halves_to_floats(const uint16_t *halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

MK_INLINE __m512 mk_bytes_to_floats(__m128i bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
}

MK_INLINE __m512 mk_signed_bytes_to_floats(const int8_t *bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

// The scales of a group's rows for a block of a panel, or for half of one, from where they are packed;
// and the mins, of q4_K only.
MK_INLINE __m512 mk_packed_scale(const mk_panel_kind kind, const mk_panel *panel, const int group,
                                 size_t block, const int half, __m512 *min) {
  const size_t index = panel->first + block;
  const size_t superblock = index / MK_SUPERBLOCK_BLOCKS, part = index % MK_SUPERBLOCK_BLOCKS;
  if (kind == MK_PANEL_Q4_K) {
    const mk_q4_k_scales *s = (const mk_q4_k_scales *)panel->packed_scales[group] + superblock;
    __m128i scale_bytes, min_bytes;
    mk_join_bits(_mm_loadu_si128((const __m128i *)s->low[part]),
                 _mm_loadu_si128((const __m128i *)s->high[part / 2]), part, &scale_bytes,
                 &min_bytes);
    *min = _mm512_mul_ps(mk_halves_to_floats(s->min), mk_bytes_to_floats(min_bytes));
    return _mm512_mul_ps(mk_halves_to_floats(s->scale), mk_bytes_to_floats(scale_bytes));
  }
  if (kind == MK_PANEL_Q6) {
    const mk_q6_k_scales *s = (const mk_q6_k_scales *)panel->packed_scales[group] + superblock;
    const __m512 steps = mk_signed_bytes_to_floats(s->scales[2 * part + (size_t)half]);
    return _mm512_mul_ps(mk_halves_to_floats(s->scale), steps);
  }
  return mk_halves_to_floats((const uint16_t *)panel->packed_scales[group] + index * MK_ROW_GROUP);
}

// Makes a panel, with its scales as floats unless tiles themselves bring them there.
MK_INLINE void mk_panel_prepare(const mk_panel_kind kind, const bool packed,
                                const mk_matrix *weights, const mk_place *at,
                                mk_panel_scales *scales, mk_panel *panel) {
  const int halves = kind == MK_PANEL_Q6 ? 2 : 1;
  *panel = (mk_panel){.scales = scales->scales,
                      .mins = scales->mins,
                      .first = at->block,
                      .blocks = at->blocks};
  for (int g = 0; g < (int)at->groups; g++) {
    panel->values[g] = mk_block_values(weights, at->group + (size_t)g, at->block);
    panel->packed_scales[g] = mk_row_scales(weights, at->group + (size_t)g);
    for (size_t block = 0; block < at->blocks && !packed; block++) {
      for (int half = 0; half < halves; half++) {
        const size_t part = block * (size_t)halves + (size_t)half;
        const size_t place = (part * MK_PANEL_GROUPS + (size_t)g) * MK_ROW_GROUP;
        __m512 min;
        _mm512_store_ps(scales->scales + place,
                        mk_packed_scale(kind, panel, g, block, half, &min));
        if (kind == MK_PANEL_Q4_K) _mm512_store_ps(scales->mins + place, min);
      }
    }
  }
}

#endif
