// Matrix multiplication by quantized weights, AVX2. The chains are told at mk_matmul.
//
// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits and saturates. Weights
// are therefore taken apart into halves of a byte, 0 to 15: eight such sums of pairs, of at most
// 2 * 15 * 127 each, fit into 16 bits, so that a block needs one widening only, for each plane of
// halves. q4_0 and q4_K have one plane, the others two (low, and high worth 16).
//
// A register tile is 8 rows by up to 4 tokens. Integer sums start so that they
// come out as the bits of 1.5 * 2^23 + dot (see mk_block). Loops are as on AVX-512, with panels of
// 16 rows.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#include "activations.h"
#include "panel_avx2.h"

#define TILE_TOKENS 4
// Row groups that all runs of blocks are done for before the next ones: `out` of many tokens stays
// in the second cache level.
#define ROUND_GROUPS 8

typedef struct {
  float *out;
  size_t stride;
  size_t rows; // that exist, of 16
  bool starts; // from zero, else from what is in `out`
} tile_results;

MK_INLINE int32_t start(const mk_panel_kind kind, const mk_block *x, int half) {
  switch (kind) {
    case MK_PANEL_Q8:
      return x->start_q8;
    case MK_PANEL_Q4:
      return x->start_q4;
    case MK_PANEL_Q6:
      return x->start_q6[half];
    default:
      return MK_MAGIC_BITS;
  }
}

// Sums of pairs of a block, or of half of one, in 16 bits: [token][plane].
MK_INLINE void sum_pairs(const int planes, const int tokens, const int first, const int last,
                         const uint8_t *values, const mk_block *x, size_t stride,
                         __m256i sums[TILE_TOKENS][2]) {
#pragma clang loop unroll(full)
  for (int step = first; step < last; step++) {
    __m256i weight[2];
#pragma clang loop unroll(full)
    for (int p = 0; p < planes; p++) {
      weight[p] = _mm256_load_si256((const __m256i *)(values + p * MK_PLANE_BYTES + step * 64));
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      int32_t four;
      memcpy(&four, x[(size_t)t * stride].quants + step * 4, sizeof four);
      const __m256i quants = _mm256_set1_epi32(four);
#pragma clang loop unroll(full)
      for (int p = 0; p < planes; p++) {
        const __m256i pairs = _mm256_maddubs_epi16(weight[p], quants);
        sums[t][p] = step == first ? pairs : _mm256_add_epi16(sums[t][p], pairs);
      }
    }
  }
}

// One block, or half of one, for 8 rows: integer sums, then a step of every chain.
MK_INLINE void take_part(const mk_panel_kind kind, const int tokens, const int half,
                         const mk_panel *panel, size_t block, size_t row, const mk_block *x,
                         size_t stride, __m256 *acc) {
  const int planes = kind == MK_PANEL_Q8 || kind == MK_PANEL_Q6 ? 2 : 1;
  const int halves = kind == MK_PANEL_Q6 ? 2 : 1;
  const int steps = 8 / halves;
  __m256i sums[TILE_TOKENS][2];
  sum_pairs(planes, tokens, half * steps, (half + 1) * steps,
            panel->values[block][0] + row * 4, x, stride, sums);
  const size_t place = (block * (size_t)halves + (size_t)half) * MK_ROW_GROUP + row;
  const __m256 row_scale = _mm256_load_ps(panel->scales + place);
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    const mk_block *q = x + (size_t)t * stride;
    __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(sums[t][0], _mm256_set1_epi16(1)),
                                   _mm256_set1_epi32(start(kind, q, half)));
    if (planes == 2) {
      const __m256i high = _mm256_madd_epi16(sums[t][1], _mm256_set1_epi16(16));
      dot = _mm256_add_epi32(dot, high);
    }
    const __m256 product = _mm256_fmadd_ps(_mm256_castsi256_ps(dot), _mm256_set1_ps(q->scale),
                                           _mm256_set1_ps(q->offset));
    acc[t] = _mm256_fmadd_ps(row_scale, product, acc[t]);
    if (kind == MK_PANEL_Q4_K) {
      const __m256 min = _mm256_load_ps(panel->mins + place);
      acc[t] = _mm256_fnmadd_ps(min, _mm256_set1_ps(q->scaled_sum), acc[t]);
    }
  }
}

// Eight of the panel's rows, from `row` on.
MK_INLINE void half_tile(const mk_panel_kind kind, const int tokens, const mk_panel *panel,
                         size_t row, const mk_block *x, size_t stride,
                         const tile_results *results) {
  if (row >= results->rows) return;
  const __m256i order = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i exist = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(results->rows - row)), order);
  float *out = results->out + row;
  __m256 acc[TILE_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    acc[t] = results->starts ? _mm256_setzero_ps()
                             : _mm256_maskload_ps(out + (size_t)t * results->stride, exist);
  }
  const size_t blocks = panel->blocks;
  for (size_t block = 0; block < blocks; block++) {
    take_part(kind, tokens, 0, panel, block, row, x + block, stride, acc);
    if (kind == MK_PANEL_Q6) {
      take_part(kind, tokens, 1, panel, block, row, x + block, stride, acc);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    _mm256_maskstore_ps(out + (size_t)t * results->stride, exist, acc[t]);
  }
}

// Tiles of every size, as functions.
typedef void (*tile_function)(const mk_panel *, const mk_block *, size_t, const tile_results *);

#define TILE(kind, tokens)                                                                    \
  static MK_TARGET void tile_##kind##_##tokens(const mk_panel *panel, const mk_block *x,      \
                                               size_t stride, const tile_results *results) { \
    half_tile(kind, tokens, panel, 0, x, stride, results);                                    \
    half_tile(kind, tokens, panel, 8, x, stride, results);                                    \
  }
#define TILES(kind)                                                                          \
  TILE(kind, 1) TILE(kind, 2) TILE(kind, 3) TILE(kind, 4)                                    \
  static const tile_function tiles_##kind[TILE_TOKENS] = {tile_##kind##_1, tile_##kind##_2,  \
                                                          tile_##kind##_3, tile_##kind##_4};

TILES(MK_PANEL_Q8)
TILES(MK_PANEL_Q4)
TILES(MK_PANEL_Q4_K)
TILES(MK_PANEL_Q6)

// All tokens over a run of blocks of one row group.
MK_INLINE void run_panel(const mk_panel_kind kind, const tile_function *tiles,
                         const mk_matrix *weights, const mk_activations *x, size_t group,
                         size_t block, size_t blocks, float *out, size_t out_stride) {
  mk_panel panel;
  mk_panel_prepare(kind, weights, group, block, blocks, &panel);
  const size_t first = group * MK_ROW_GROUP;
  const size_t left = weights->rows - first;
  const size_t rows = left < MK_ROW_GROUP ? left : MK_ROW_GROUP;
  tile_results results = {out + first, out_stride, rows, block == 0};
  const size_t stride = mk_block_stride(weights->columns);
  size_t token = 0;
  while (token < x->tokens) {
    const size_t left_over = x->tokens - token;
    const size_t count = left_over < TILE_TOKENS ? left_over : TILE_TOKENS;
    tiles[count - 1](&panel, x->blocks + token * stride + block, stride, &results);
    token += count;
    results.out += count * out_stride;
  }
}

MK_INLINE void run_kind(const mk_panel_kind kind, const tile_function *tiles,
                        const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                        size_t group_end, float *out, size_t out_stride) {
  const size_t blocks = weights->columns / MK_BLOCK;
  const size_t run_blocks = mk_run_blocks(blocks, MK_PANEL_BLOCKS);
  const size_t at_once = x->tokens > TILE_TOKENS ? ROUND_GROUPS : 1;
  for (size_t begin = group_begin; begin < group_end; begin += at_once) {
    const size_t end = group_end - begin < at_once ? group_end : begin + at_once;
    for (size_t block = 0; block < blocks; block += run_blocks) {
      const size_t run = blocks - block < run_blocks ? blocks - block : run_blocks;
      for (size_t group = begin; group < end; group++) {
        run_panel(kind, tiles, weights, x, group, block, run, out, out_stride);
      }
    }
  }
}

MK_TARGET void mk_matmul_quantized_avx2(const mk_matrix *weights, const mk_activations *x,
                                        size_t group_begin, size_t group_end, float *out,
                                        size_t out_stride) {
  switch (weights->type) {
    case MK_WEIGHT_Q4_0:
      run_kind(MK_PANEL_Q4, tiles_MK_PANEL_Q4, weights, x, group_begin, group_end, out, out_stride);
      break;
    case MK_WEIGHT_Q4_K:
      run_kind(MK_PANEL_Q4_K, tiles_MK_PANEL_Q4_K, weights, x, group_begin, group_end, out,
               out_stride);
      break;
    case MK_WEIGHT_Q6_K:
      run_kind(MK_PANEL_Q6, tiles_MK_PANEL_Q6, weights, x, group_begin, group_end, out, out_stride);
      break;
    default:
      run_kind(MK_PANEL_Q8, tiles_MK_PANEL_Q8, weights, x, group_begin, group_end, out, out_stride);
  }
}

#endif
