// Panels of quantized weights for AVX-512: 32 rows by up to 32 blocks, as the register tile wants
// them: unsigned bytes, and scales as floats. Include after avx512.h.

#ifndef MILLRACE_PANEL_AVX512_H
#define MILLRACE_PANEL_AVX512_H

#include "packed.h"

// Row groups, and blocks of 32 columns, of a panel: with the activations of a tile it stays in the
// first cache level while all tokens pass.
#define MK_PANEL_GROUPS 2
#define MK_PANEL_BLOCKS 32

// How far ahead of unpacking packed nibbles are asked for.
#define MK_PREFETCH_BYTES 4096

// What the tile has to do for a weight type.
typedef enum {
  MK_PANEL_Q8 = 0, // a scale a block, zero at 128: q8_0, q5_0
  MK_PANEL_Q4 = 1, // a scale a block, zero at 8: q4_0
  MK_PANEL_Q4_K = 2, // a scale and a min a block, zero at 0: q4_K
  MK_PANEL_Q6 = 3, // a scale for half a block, zero at 32: q6_K
} mk_panel_kind;

// Memory for what has to be unpacked.
typedef struct {
  _Alignas(64) uint8_t values[MK_PANEL_GROUPS][MK_PANEL_BLOCKS][512];
  // q6_K: [block][half][group][row]; else [block][group][row].
  _Alignas(64) float scales[MK_PANEL_BLOCKS * 2 * MK_PANEL_GROUPS * MK_ROW_GROUP];
  _Alignas(64) float mins[MK_PANEL_BLOCKS * MK_PANEL_GROUPS * MK_ROW_GROUP];
} mk_panel_space;

typedef struct {
  const uint8_t *values[MK_PANEL_GROUPS]; // [block][512]
  const float *scales;
  const float *mins;
  size_t blocks;
} mk_panel;

MK_INLINE __m512 mk_halves_to_floats(const uint16_t *halves) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)halves));
}

MK_INLINE __m512 mk_bytes_to_floats(const uint8_t *bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

MK_INLINE __m512 mk_signed_bytes_to_floats(const int8_t *bytes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)bytes)));
}

// Nibbles of a block to bytes, in the layout of q8_0.
MK_INLINE void mk_spread_nibbles(const uint8_t *from, uint8_t *to) {
  const __m512i mask = _mm512_set1_epi8(15);
#pragma clang loop unroll(full)
  for (int i = 0; i < 4; i++) {
    _mm_prefetch((const char *)from + i * 64 + MK_PREFETCH_BYTES, _MM_HINT_T0);
    const __m512i pair = _mm512_loadu_si512(from + i * 64);
    _mm512_store_si512(to + i * 128, _mm512_and_si512(pair, mask));
    _mm512_store_si512(to + i * 128 + 64, _mm512_and_si512(_mm512_srli_epi16(pair, 4), mask));
  }
}

// The scales of one block of one group to their places.
MK_INLINE void mk_spread_scales(const mk_panel_kind kind, const mk_matrix *weights, size_t group,
                                size_t block, float *scales, float *mins) {
  const size_t part = block % MK_SUPERBLOCK_BLOCKS;
  if (kind == MK_PANEL_Q4_K) {
    const mk_q4_k_scales *s = mk_q4_k_scales_of(weights, group, block);
    const __m512 scale = mk_halves_to_floats(s->scale);
    const __m512 min = mk_halves_to_floats(s->min);
    _mm512_store_ps(scales, _mm512_mul_ps(scale, mk_bytes_to_floats(s->scales[part])));
    _mm512_store_ps(mins, _mm512_mul_ps(min, mk_bytes_to_floats(s->mins[part])));
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

// Makes a panel of `blocks` blocks of `groups` row groups.
MK_INLINE void mk_panel_prepare(const mk_panel_kind kind, const mk_matrix *weights, size_t group,
                                size_t groups, size_t block, size_t blocks, mk_panel_space *space,
                                mk_panel *panel) {
  const size_t halves = kind == MK_PANEL_Q6 ? 2 : 1;
  for (size_t g = 0; g < groups; g++) {
    const uint8_t *values = mk_block_values(weights, group + g, block);
    for (size_t b = 0; b < blocks; b++) {
      const size_t place = (b * halves * MK_PANEL_GROUPS + g) * MK_ROW_GROUP;
      mk_spread_scales(kind, weights, group + g, block + b, space->scales + place,
                       space->mins + place);
      if (kind == MK_PANEL_Q4 || kind == MK_PANEL_Q4_K) {
        mk_spread_nibbles(values + b * 256, space->values[g][b]);
      }
    }
    const bool unpacked = kind == MK_PANEL_Q4 || kind == MK_PANEL_Q4_K;
    panel->values[g] = unpacked ? space->values[g][0] : values;
  }
  panel->scales = space->scales;
  panel->mins = space->mins;
  panel->blocks = blocks;
}

#endif
