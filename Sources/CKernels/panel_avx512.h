// Panels of quantized weights for AVX-512: 48 rows by up to 128 blocks. Values stay as they are
// packed, scales become floats. Include after avx512.h.

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
  // As they are packed, of weights with a scale a block: [block][row].
  const uint16_t *halves[MK_PANEL_GROUPS];
  size_t blocks;
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

// The scales of one block of one group to their places.
MK_INLINE void mk_spread_scales(const mk_panel_kind kind, const mk_matrix *weights, size_t group,
                                size_t block, mk_panel_scales *to, size_t place) {
  const size_t part = block % MK_SUPERBLOCK_BLOCKS;
  float *scales = to->scales + place;
  if (kind == MK_PANEL_Q4_K) {
    const mk_q4_k_scales *s = mk_q4_k_scales_of(weights, group, block);
    const __m512 scale = mk_halves_to_floats(s->scale);
    const __m512 min = mk_halves_to_floats(s->min);
    __m128i scale_bytes, min_bytes;
    mk_join_bits(_mm_loadu_si128((const __m128i *)s->low[part]),
                 _mm_loadu_si128((const __m128i *)s->high[part / 2]), part, &scale_bytes,
                 &min_bytes);
    _mm512_store_ps(scales, _mm512_mul_ps(scale, mk_bytes_to_floats(scale_bytes)));
    _mm512_store_ps(to->mins + place, _mm512_mul_ps(min, mk_bytes_to_floats(min_bytes)));
  } else if (kind == MK_PANEL_Q6) {
    const mk_q6_k_scales *s = mk_q6_k_scales_of(weights, group, block);
    const __m512 scale = mk_halves_to_floats(s->scale);
    for (size_t half = 0; half < 2; half++) {
      const __m512 steps = mk_signed_bytes_to_floats(s->scales[2 * part + half]);
      _mm512_store_ps(scales + half * MK_PANEL_GROUPS * MK_ROW_GROUP,
                      _mm512_mul_ps(scale, steps));
    }
  } else {
    _mm512_store_ps(scales, mk_halves_to_floats(mk_block_scales(weights, group, block)));
  }
}

// With `packed`, tiles themselves bring scales to float, of which a block has but one half a row.
MK_INLINE void mk_panel_prepare(const mk_panel_kind kind, const bool packed,
                                const mk_matrix *weights, const mk_place *at,
                                mk_panel_scales *scales, mk_panel *panel) {
  const size_t halves = kind == MK_PANEL_Q6 ? 2 : 1;
  for (size_t g = 0; g < at->groups; g++) {
    panel->values[g] = mk_block_values(weights, at->group + g, at->block);
    if (packed) panel->halves[g] = mk_block_scales(weights, at->group + g, at->block);
    for (size_t b = 0; b < at->blocks && !packed; b++) {
      const size_t place = (b * halves * MK_PANEL_GROUPS + g) * MK_ROW_GROUP;
      mk_spread_scales(kind, weights, at->group + g, at->block + b, scales, place);
    }
  }
  panel->scales = scales->scales;
  panel->mins = scales->mins;
  panel->blocks = at->blocks;
}

#endif
