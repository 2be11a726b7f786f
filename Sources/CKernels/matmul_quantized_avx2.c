// Matrix multiplication by quantized weights, AVX2. The chains are told at mk_matmul.
//
// vpmaddubsw adds two products of an unsigned and a signed byte in 16 bits and saturates. Weights
// are therefore taken apart into halves of a byte, 0 to 15: eight such sums of pairs, of at most
// 2 * 15 * 127 each, fit into 16 bits, so that a block needs one widening only, for each plane of
// halves. q4_0 and q4_K have one plane, the others two (low, and high worth 16).
//
// A register tile is 8 rows by up to 4 tokens. Integer sums start so that they come out as the bits of
// scale * (1.5 * 2^23 + dot) (see mk_block). A panel is 16 rows by a run of blocks; between runs the
// chains wait in `out`. While a panel is passed over, the next one is fetched, as on AVX-512. A lone
// token needs no panels: its weights are read straight on, 16 rows at once.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx2.h"

#include "panel_avx2.h"

#define TILE_TOKENS 4
// Up to this many tokens every tile unpacks values and scales for itself.
#define PACKED_TOKENS 8
// Up to this many tokens the runs of blocks are innermost.
#define FEW_TOKENS 15
// Blocks of a run for few tokens.
#define FEW_BLOCKS 32
// With many tokens: row groups that all runs of blocks are done for before the next ones, so that
// `out` stays in the second cache level.
#define ROUND_GROUPS 8

typedef struct {
  float *out;
  size_t stride;
  size_t rows; // that exist, of 16
  bool starts; // from zero, else from what is in `out`
  bool ends;   // the chains, which then want the scale of their token's row
} tile_results;

// Planes of four columns of eight rows, from `row` on; `two` holds what the planes of a step, or of
// nibbles those of an even step and of the one after it, are taken from.
MK_INLINE void planes_of(const mk_panel_kind kind, const bool packed, const mk_panel *panel,
                         size_t block, size_t row, const int step, __m256i *two,
                         __m256i planes[2]) {
  const __m256i mask = _mm256_set1_epi8(15);
  if (!packed) {
    const uint8_t *values = panel->unpacked->values[block][0] + row * 4 + step * 64;
    planes[0] = _mm256_load_si256((const __m256i *)values);
    if (mk_panel_planes(kind) == 1) return;
    planes[1] = _mm256_load_si256((const __m256i *)(values + MK_PLANE_BYTES));
  } else if (mk_panel_has_nibbles(kind)) {
    if (step % 2 == 1) {
      planes[0] = _mm256_and_si256(_mm256_srli_epi16(*two, 4), mask);
      return;
    }
    const uint8_t *values = panel->packed_values + block * 256 + row * 4 + step * 32;
    *two = _mm256_loadu_si256((const __m256i *)values);
    planes[0] = _mm256_and_si256(*two, mask);
  } else {
    const uint8_t *values = panel->packed_values + block * 512 + row * 4 + step * 64;
    *two = _mm256_loadu_si256((const __m256i *)values);
    planes[0] = _mm256_and_si256(*two, mask);
    planes[1] = _mm256_and_si256(_mm256_srli_epi16(*two, 4), mask);
  }
}

// Sums of pairs of a block, or of half of one, in 16 bits: [token][plane].
MK_INLINE void sum_pairs(const mk_panel_kind kind, const bool packed, const int tokens,
                         const int first, const int last, const mk_panel *panel, size_t block,
                         size_t row, const mk_block *x, size_t stride,
                         __m256i sums[TILE_TOKENS][2]) {
  __m256i two;
#pragma clang loop unroll(full)
  for (int step = first; step < last; step++) {
    __m256i weight[2];
    planes_of(kind, packed, panel, block, row, step, &two, weight);
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      int32_t four;
      memcpy(&four, x[(size_t)t * stride].quants + step * 4, sizeof four);
      const __m256i quants = _mm256_set1_epi32(four);
#pragma clang loop unroll(full)
      for (int p = 0; p < mk_panel_planes(kind); p++) {
        const __m256i pairs = _mm256_maddubs_epi16(weight[p], quants);
        sums[t][p] = step == first ? pairs : _mm256_add_epi16(sums[t][p], pairs);
      }
    }
  }
}

// One block, or half of one, for 8 rows: integer sums, then a step of every chain.
MK_INLINE void take_part(const mk_panel_kind kind, const bool packed, const int tokens,
                         const int half, const mk_panel *panel, size_t block, size_t row,
                         const mk_block *x, size_t stride, __m256 *acc) {
  const int halves = kind == MK_PANEL_Q6 ? 2 : 1;
  const int steps = 8 / halves;
  __m256i sums[TILE_TOKENS][2];
  sum_pairs(kind, packed, tokens, half * steps, (half + 1) * steps, panel, block, row, x, stride,
            sums);
  const size_t place = (block * (size_t)halves + (size_t)half) * MK_ROW_GROUP + row;
  __m256 min;
  const __m256 row_scale = packed ? mk_packed_scale(kind, panel, block, half, row, &min)
                                  : _mm256_load_ps(panel->unpacked->scales + place);
  if (!packed && kind == MK_PANEL_Q4_K) min = _mm256_load_ps(panel->unpacked->mins + place);
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    const mk_block *q = x + (size_t)t * stride;
    __m256i dot = _mm256_add_epi32(_mm256_madd_epi16(sums[t][0], _mm256_set1_epi16(1)),
                                   _mm256_set1_epi32(mk_panel_start(kind, q, half)));
    if (mk_panel_planes(kind) == 2) {
      const __m256i high = _mm256_madd_epi16(sums[t][1], _mm256_set1_epi16(16));
      dot = _mm256_add_epi32(dot, high);
    }
    const __m256 product = _mm256_sub_ps(_mm256_castsi256_ps(dot), _mm256_set1_ps(q->magic));
    acc[t] = _mm256_fmadd_ps(row_scale, product, acc[t]);
    if (kind == MK_PANEL_Q4_K) {
      acc[t] = _mm256_fnmadd_ps(min, _mm256_set1_ps(q->scaled_sum), acc[t]);
    }
  }
}

// One block for 8 rows.
MK_INLINE void take_block(const mk_panel_kind kind, const bool packed, const int tokens,
                          const mk_panel *panel, size_t block, size_t row, const mk_block *x,
                          size_t stride, __m256 *acc) {
  take_part(kind, packed, tokens, 0, panel, block, row, x, stride, acc);
  if (kind == MK_PANEL_Q6) {
    take_part(kind, packed, tokens, 1, panel, block, row, x, stride, acc);
  }
}

// Which of eight rows exist, if `left` do.
MK_INLINE __m256i existing_of(size_t left) {
  const int count = left < 8 ? (int)left : 8;
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

// Eight rows of the panel, from `row` on.
MK_INLINE void half_tile(const mk_panel_kind kind, const bool packed, const int tokens,
                         const mk_panel *panel, size_t row, const mk_block *x, size_t stride,
                         const tile_results *results) {
  if (row >= results->rows) return;
  const __m256i exist = existing_of(results->rows - row);
  float *out = results->out + row;
  __m256 acc[TILE_TOKENS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    const float *at = out + (size_t)t * results->stride;
    acc[t] = results->starts ? _mm256_setzero_ps() : _mm256_maskload_ps(at, exist);
  }
  const size_t blocks = panel->blocks;
  for (size_t block = 0; block < blocks; block++) {
    if (row == 0) mk_fetch_turn(kind, panel->fetcher);
    take_block(kind, packed, tokens, panel, block, row, x + block, stride, acc);
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    if (results->ends) {
      acc[t] = _mm256_mul_ps(acc[t], _mm256_set1_ps(x[(size_t)t * stride].row_scale));
    }
    _mm256_maskstore_ps(out + (size_t)t * results->stride, exist, acc[t]);
  }
}

// Tiles of every size, as functions.
typedef void (*tile_function)(const mk_panel *, const mk_block *, size_t, const tile_results *);

#define TILE(kind, packed, tokens)                                                           \
  static MK_TARGET void tile_##kind##_##packed##_##tokens(                                   \
      const mk_panel *panel, const mk_block *x, size_t stride, const tile_results *results) { \
    half_tile(kind, packed, tokens, panel, 0, x, stride, results);                           \
    half_tile(kind, packed, tokens, panel, 8, x, stride, results);                           \
  }
#define TILES(kind, packed)                                                                 \
  TILE(kind, packed, 1) TILE(kind, packed, 2) TILE(kind, packed, 3) TILE(kind, packed, 4)   \
  static const tile_function tiles_##kind##_##packed[TILE_TOKENS] = {                       \
      tile_##kind##_##packed##_1, tile_##kind##_##packed##_2, tile_##kind##_##packed##_3,   \
      tile_##kind##_##packed##_4};

TILES(MK_PANEL_Q8, 0)
TILES(MK_PANEL_Q8, 1)
TILES(MK_PANEL_Q4, 0)
TILES(MK_PANEL_Q4, 1)
TILES(MK_PANEL_Q4_K, 0)
TILES(MK_PANEL_Q4_K, 1)
TILES(MK_PANEL_Q6, 0)
TILES(MK_PANEL_Q6, 1)

// All tokens over one panel, and what comes after it is fetched.
MK_INLINE void run_panel(const mk_panel_kind kind, const tile_function *const tiles[2],
                         const mk_matrix *weights, const mk_activations *x, const mk_place *at,
                         mk_fetcher *fetcher, float *out, size_t out_stride) {
  const bool packed = x->tokens <= PACKED_TOKENS;
  mk_unpacked room;
  mk_panel panel;
  mk_panel_prepare(kind, weights, at, !packed, &room, &panel);
  const size_t first = at->group * MK_ROW_GROUP;
  const size_t left = weights->rows - first;
  const size_t rows = left < MK_ROW_GROUP ? left : MK_ROW_GROUP;
  const size_t blocks = weights->columns / MK_BLOCK;
  tile_results results = {out + first, out_stride, rows, at->block == 0,
                          at->block + at->blocks == blocks};
  const size_t stride = mk_block_stride(weights->columns);
  panel.fetcher = fetcher;
  for (size_t token = 0; token < x->tokens;) {
    const size_t left_over = x->tokens - token;
    const size_t count = left_over < TILE_TOKENS ? left_over : TILE_TOKENS;
    tiles[packed][count - 1](&panel, x->blocks + token * stride + at->block, stride, &results);
    token += count;
    results.out += count * out_stride;
  }
}

MK_INLINE void run_kind(const mk_panel_kind kind, const tile_function *const tiles[2],
                        const mk_matrix *weights, const mk_activations *x, size_t group_begin,
                        size_t group_end, const mk_ahead *ahead, float *out, size_t out_stride) {
  const bool few = x->tokens <= FEW_TOKENS;
  const mk_panel_walk walk =
      mk_walk_of(weights, group_begin, group_end, 1, few ? 1 : ROUND_GROUPS,
                 few ? FEW_BLOCKS : MK_PANEL_BLOCKS);
  mk_place at = mk_place_at(&walk, group_begin, 0);
  while (at.groups > 0) {
    const mk_place next = mk_next_place(&walk, &at);
    const size_t turns = (x->tokens + TILE_TOKENS - 1) / TILE_TOKENS * at.blocks;
    mk_fetcher fetcher = next.groups > 0 ? mk_fetcher_of(weights, &next, turns)
                                         : mk_fetcher_ahead(weights, &walk, &at, ahead, turns);
    run_panel(kind, tiles, weights, x, &at, &fetcher, out, out_stride);
    at = next;
  }
}

// All groups for a lone token, straight on as the weights lie in memory.
MK_INLINE void stream(const mk_panel_kind kind, const mk_matrix *weights, const mk_activations *x,
                      size_t group_begin, size_t group_end, const mk_ahead *ahead, float *out) {
  const size_t blocks = weights->columns / MK_BLOCK;
  for (size_t group = group_begin; group < group_end; group++) {
    const mk_panel panel = {.packed_values = mk_block_values(weights, group, 0),
                            .packed_scales = mk_row_scales(weights, group)};
    const mk_stream next = mk_stream_of(weights, group, group_end, ahead);
    __m256 low = _mm256_setzero_ps(), high = low;
    for (size_t block = 0; block < blocks; block++) {
      mk_stream_turn(kind, &next, block);
      take_block(kind, true, 1, &panel, block, 0, x->blocks + block, 0, &low);
      take_block(kind, true, 1, &panel, block, 8, x->blocks + block, 0, &high);
    }
    const __m256 scale = _mm256_set1_ps(x->blocks->row_scale);
    const size_t row = group * MK_ROW_GROUP, left = weights->rows - row;
    _mm256_maskstore_ps(out + row, existing_of(left), _mm256_mul_ps(low, scale));
    if (left <= 8) continue;
    _mm256_maskstore_ps(out + row + 8, existing_of(left - 8), _mm256_mul_ps(high, scale));
  }
  mk_stream_end(weights, ahead);
}

#define RUN(name, kind)                                                                       \
  static MK_TARGET void name(const mk_matrix *weights, const mk_activations *x, size_t begin, \
                             size_t end, const mk_ahead *ahead, float *out,                   \
                             size_t out_stride) {                                             \
    static const tile_function *const tiles[2] = {tiles_##kind##_0, tiles_##kind##_1};        \
    if (x->tokens == 1) {                                                                     \
      stream(kind, weights, x, begin, end, ahead, out);                                       \
    } else {                                                                                  \
      run_kind(kind, tiles, weights, x, begin, end, ahead, out, out_stride);                  \
    }                                                                                         \
  }

RUN(run_q8, MK_PANEL_Q8)
RUN(run_q4, MK_PANEL_Q4)
RUN(run_q4_k, MK_PANEL_Q4_K)
RUN(run_q6, MK_PANEL_Q6)

MK_TARGET void mk_matmul_quantized_avx2(const mk_matrix *weights, const mk_activations *x,
                                        size_t group_begin, size_t group_end,
                                        const mk_ahead *ahead, float *out, size_t out_stride) {
  switch (weights->type) {
    case MK_WEIGHT_Q4_0:
      run_q4(weights, x, group_begin, group_end, ahead, out, out_stride);
      break;
    case MK_WEIGHT_Q4_K:
      run_q4_k(weights, x, group_begin, group_end, ahead, out, out_stride);
      break;
    case MK_WEIGHT_Q6_K:
      run_q6(weights, x, group_begin, group_end, ahead, out, out_stride);
      break;
    default:
      run_q8(weights, x, group_begin, group_end, ahead, out, out_stride);
  }
}

#endif
