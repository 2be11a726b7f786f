// Matrix multiplication by quantized weights, AVX-512 with VNNI. The chains are told at mk_matmul.
//
// A register tile is 48 rows by up to 4 tokens: 12 integer and 12 float accumulators, each
// broadcast of four activations used for three row groups. Integer sums start so that they
// come out as the bits of scale * (1.5 * 2^23 + dot) (see mk_block): conversion to float, scaling by
// the activations' scale and taking the surplus off are one subtraction, which leaves the two
// multipliers of a core of Zen 4 alone.
//
// A panel is 48 rows by a run of blocks; between runs the chains wait in `out`. While a panel is
// passed over, the next one is fetched to the second cache level: the hardware's own fetching stops
// at every page. One or two tokens need no panels: their weights are read straight on.

#pragma STDC FP_CONTRACT OFF

#if defined(__x86_64__)

#include "avx512.h"

#include "panel_avx512.h"

#define TILE_TOKENS 4
// Up to this many tokens weights are passed over once and straight on, without panels.
#define STREAM_TOKENS 2
// Up to this many tokens the runs of blocks are innermost, and tiles take scales as they are packed;
// those of K-quants, which have to be worked out, only for a single pass.
#define FEW_TOKENS 20
// Blocks of a run for few tokens: a tile is long beside its beginning and its end.
#define FEW_BLOCKS 64
// With many tokens: row groups that all runs of blocks are done for before the next ones, so that
// `out` stays in the second cache level.
#define ROUND_GROUPS 18

// Where a tile's results are, and which lanes of each row group exist.
typedef struct {
  float *out;
  size_t stride;
  __mmask16 lanes[MK_PANEL_GROUPS];
  bool starts; // from zero, else from what is in `out`
  bool ends;   // the chains, which then want the scale of their token's row
} tile_results;

// Four columns of the rows of a group, unsigned; `pair` holds the nibbles of an even step and of
// the one after it.
MK_INLINE __m512i weights_of(const mk_panel_kind kind, const mk_panel *panel, const int group,
                             size_t block, const int step, __m512i *pair) {
  if (!mk_panel_has_nibbles(kind)) {
    return _mm512_loadu_si512(panel->values[group] + block * 512 + (size_t)step * 64);
  }
  const __m512i mask = _mm512_set1_epi8(15);
  if (step % 2 == 1) return _mm512_and_si512(_mm512_srli_epi16(*pair, 4), mask);
  *pair = _mm512_loadu_si512(panel->values[group] + block * 256 + (size_t)step * 32);
  return _mm512_and_si512(*pair, mask);
}

// One block, or half of one: integer sums, then a step of every chain.
MK_INLINE void take_part(const mk_panel_kind kind, const bool packed, const int groups,
                         const int tokens, const int half, const mk_panel *panel, size_t block,
                         const mk_block *x, size_t stride, __m512 acc[TILE_TOKENS][MK_PANEL_GROUPS]) {
  const int halves = kind == MK_PANEL_Q6 ? 2 : 1;
  const int steps = 8 / halves;
  __m512i dot[TILE_TOKENS][MK_PANEL_GROUPS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    dot[t][0] = _mm512_set1_epi32(mk_panel_start(kind, x + (size_t)t * stride, half));
#pragma clang loop unroll(full)
    for (int g = 1; g < groups; g++) dot[t][g] = dot[t][0];
  }
  __m512i pair[MK_PANEL_GROUPS];
#pragma clang loop unroll(full)
  for (int step = half * steps; step < (half + 1) * steps; step++) {
    __m512i weight[MK_PANEL_GROUPS];
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      weight[g] = weights_of(kind, panel, g, block, step, pair + g);
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      int32_t four;
      memcpy(&four, x[(size_t)t * stride].quants + step * 4, sizeof four);
      const __m512i quants = _mm512_set1_epi32(four);
#pragma clang loop unroll(full)
      for (int g = 0; g < groups; g++) {
        dot[t][g] = _mm512_dpbusd_epi32(dot[t][g], weight[g], quants);
      }
    }
  }
  const size_t place = (block * (size_t)halves + (size_t)half) * MK_PANEL_GROUPS * MK_ROW_GROUP;
  __m512 row_scale[MK_PANEL_GROUPS], min[MK_PANEL_GROUPS];
  if (packed) {
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      row_scale[g] = mk_packed_scale(kind, panel, g, block, half, min + g);
    }
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
    const mk_block *q = x + (size_t)t * stride;
    const __m512 magic = _mm512_set1_ps(q->magic);
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      const __m512 product = _mm512_sub_ps(_mm512_castsi512_ps(dot[t][g]), magic);
      if (!packed) row_scale[g] = _mm512_load_ps(panel->scales + place + g * MK_ROW_GROUP);
      acc[t][g] = _mm512_fmadd_ps(row_scale[g], product, acc[t][g]);
      if (kind == MK_PANEL_Q4_K) {
        if (!packed) min[g] = _mm512_load_ps(panel->mins + place + g * MK_ROW_GROUP);
        acc[t][g] = _mm512_fnmadd_ps(min[g], _mm512_set1_ps(q->scaled_sum), acc[t][g]);
      }
    }
  }
}

// One block.
MK_INLINE void take_block(const mk_panel_kind kind, const bool packed, const int groups,
                          const int tokens, const mk_panel *panel, size_t block,
                          const mk_block *x, size_t stride,
                          __m512 acc[TILE_TOKENS][MK_PANEL_GROUPS]) {
  take_part(kind, packed, groups, tokens, 0, panel, block, x, stride, acc);
  if (kind == MK_PANEL_Q6) {
    take_part(kind, packed, groups, tokens, 1, panel, block, x, stride, acc);
  }
}

MK_INLINE void tile(const mk_panel_kind kind, const bool packed, const int groups,
                    const int tokens, const mk_panel *panel, const mk_block *x, size_t stride,
                    const tile_results *results) {
  __m512 acc[TILE_TOKENS][MK_PANEL_GROUPS];
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      const float *at = results->out + (size_t)t * results->stride + g * MK_ROW_GROUP;
      acc[t][g] = results->starts ? _mm512_setzero_ps()
                                  : _mm512_maskz_loadu_ps(results->lanes[g], at);
    }
  }
  const size_t blocks = panel->blocks;
  for (size_t block = 0; block < blocks; block++) {
    mk_fetch_turn(kind, panel->fetcher);
    take_block(kind, packed, groups, tokens, panel, block, x + block, stride, acc);
  }
#pragma clang loop unroll(full)
  for (int t = 0; t < tokens; t++) {
#pragma clang loop unroll(full)
    for (int g = 0; g < groups; g++) {
      float *at = results->out + (size_t)t * results->stride + g * MK_ROW_GROUP;
      if (results->ends) {
        acc[t][g] = _mm512_mul_ps(acc[t][g], _mm512_set1_ps(x[(size_t)t * stride].row_scale));
      }
      _mm512_mask_storeu_ps(at, results->lanes[g], acc[t][g]);
    }
  }
}

// Tiles of two to four tokens, as functions.
typedef void (*tile_function)(const mk_panel *, const mk_block *, size_t, const tile_results *);

#define TILE(name, kind, packed, groups, tokens)                                              \
  static MK_TARGET void tile_##name##_##groups##_##tokens(                                    \
      const mk_panel *panel, const mk_block *x, size_t stride, const tile_results *results) { \
    tile(kind, packed, groups, tokens, panel, x, stride, results);                            \
  }
#define TILES_OF(name, kind, packed, groups)                              \
  TILE(name, kind, packed, groups, 2) TILE(name, kind, packed, groups, 3) \
  TILE(name, kind, packed, groups, 4)
#define TILES(name, kind, packed)                                                        \
  TILES_OF(name, kind, packed, 1)                                                        \
  TILES_OF(name, kind, packed, 2)                                                        \
  TILES_OF(name, kind, packed, 3)                                                        \
  static const tile_function tiles_##name[MK_PANEL_GROUPS][TILE_TOKENS - 1] = {          \
      {tile_##name##_1_2, tile_##name##_1_3, tile_##name##_1_4},                         \
      {tile_##name##_2_2, tile_##name##_2_3, tile_##name##_2_4},                         \
      {tile_##name##_3_2, tile_##name##_3_3, tile_##name##_3_4}};

TILES(q8, MK_PANEL_Q8, false)
TILES(q8_packed, MK_PANEL_Q8, true)
TILES(q4, MK_PANEL_Q4, false)
TILES(q4_packed, MK_PANEL_Q4, true)
TILES(q4_k, MK_PANEL_Q4_K, false)
TILES(q4_k_packed, MK_PANEL_Q4_K, true)
TILES(q6, MK_PANEL_Q6, false)
TILES(q6_packed, MK_PANEL_Q6, true)

// Tokens of the next tile, of three or more left over: 5 are taken as 3 and 2, so that there is none
// of a lone token.
static size_t next_tile(size_t left) {
  if (left == 5) return 3;
  return left < TILE_TOKENS ? left : TILE_TOKENS;
}

// All tokens over one panel, and what comes after it is fetched.
MK_INLINE void run_panel(const mk_panel_kind kind, const bool packed,
                         const tile_function (*tiles)[TILE_TOKENS - 1], const mk_matrix *weights,
                         const mk_activations *x, const mk_place *at, mk_fetcher *fetcher,
                         float *out, size_t out_stride) {
  mk_panel_scales scales;
  mk_panel panel;
  mk_panel_prepare(kind, packed, weights, at, &scales, &panel);
  const size_t first = at->group * MK_ROW_GROUP;
  const size_t blocks = weights->columns / MK_BLOCK;
  tile_results results = {out + first,    out_stride,
                          {0xFFFF, 0xFFFF, 0xFFFF}, at->block == 0,
                          at->block + at->blocks == blocks};
  const size_t left = weights->rows - first - (at->groups - 1) * MK_ROW_GROUP;
  if (left < MK_ROW_GROUP) results.lanes[at->groups - 1] = (__mmask16)((1u << left) - 1);
  const size_t stride = mk_block_stride(weights->columns);
  panel.fetcher = fetcher;
  for (size_t token = 0; token < x->tokens;) {
    const size_t count = next_tile(x->tokens - token);
    tiles[at->groups - 1][count - 2](&panel, x->blocks + token * stride + at->block, stride,
                                     &results);
    token += count;
    results.out += count * out_stride;
  }
}

MK_INLINE void run_kind(const mk_panel_kind kind, const bool packed,
                        const tile_function (*tiles)[TILE_TOKENS - 1], const mk_matrix *weights,
                        const mk_activations *x, size_t group_begin, size_t group_end,
                        const mk_ahead *ahead, float *out, size_t out_stride) {
  const bool few = x->tokens <= FEW_TOKENS;
  const size_t at_once = few ? MK_PANEL_GROUPS : ROUND_GROUPS;
  const size_t most = few ? FEW_BLOCKS : MK_PANEL_BLOCKS;
  const mk_panel_walk walk =
      mk_walk_of(weights, group_begin, group_end, MK_PANEL_GROUPS, at_once, most);
  mk_place at = mk_place_at(&walk, group_begin, 0);
  while (at.groups > 0) {
    const mk_place next = mk_next_place(&walk, &at);
    const size_t turns = (x->tokens + TILE_TOKENS - 1) / TILE_TOKENS * at.blocks;
    mk_fetcher fetcher = next.groups > 0 ? mk_fetcher_of(weights, &next, turns)
                                         : mk_fetcher_ahead(weights, &walk, &at, ahead, turns);
    run_panel(kind, packed, tiles, weights, x, &at, &fetcher, out, out_stride);
    at = next;
  }
}

// All groups for one or two tokens, straight on as the weights lie in memory.
MK_INLINE void stream(const mk_panel_kind kind, const int tokens, const mk_matrix *weights,
                      const mk_activations *x, size_t group_begin, size_t group_end,
                      const mk_ahead *ahead, float *out, size_t out_stride) {
  const size_t blocks = weights->columns / MK_BLOCK;
  const size_t stride = mk_block_stride(weights->columns);
  for (size_t group = group_begin; group < group_end; group++) {
    const mk_panel panel = {.values = {mk_block_values(weights, group, 0)},
                            .packed_scales = {mk_row_scales(weights, group)}};
    const mk_stream next = mk_stream_of(weights, group, group_end, ahead);
    __m512 acc[TILE_TOKENS][MK_PANEL_GROUPS];
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) acc[t][0] = _mm512_setzero_ps();
    for (size_t block = 0; block < blocks; block++) {
      mk_stream_turn(kind, &next, block);
      take_block(kind, true, 1, tokens, &panel, block, x->blocks + block, stride, acc);
    }
    const size_t left = weights->rows - group * MK_ROW_GROUP;
    const __mmask16 lanes = left < MK_ROW_GROUP ? (__mmask16)((1u << left) - 1) : 0xFFFF;
#pragma clang loop unroll(full)
    for (int t = 0; t < tokens; t++) {
      const __m512 scale = _mm512_set1_ps(x->blocks[(size_t)t * stride].row_scale);
      _mm512_mask_storeu_ps(out + (size_t)t * out_stride + group * MK_ROW_GROUP, lanes,
                            _mm512_mul_ps(acc[t][0], scale));
    }
  }
  mk_stream_end(weights, ahead);
}

#define RUN(name, kind, packed)                                                               \
  static MK_TARGET void run_##name(const mk_matrix *weights, const mk_activations *x,         \
                                   size_t begin, size_t end, const mk_ahead *ahead,           \
                                   float *out, size_t out_stride) {                           \
    run_kind(kind, packed, tiles_##name, weights, x, begin, end, ahead, out, out_stride);     \
  }
#define STREAM(name, kind)                                                                    \
  static MK_TARGET void stream_##name(const mk_matrix *weights, const mk_activations *x,      \
                                      size_t begin, size_t end, const mk_ahead *ahead,        \
                                      float *out, size_t out_stride) {                        \
    if (x->tokens == 1) {                                                                     \
      stream(kind, 1, weights, x, begin, end, ahead, out, out_stride);                        \
    } else {                                                                                  \
      stream(kind, 2, weights, x, begin, end, ahead, out, out_stride);                        \
    }                                                                                         \
  }

RUN(q8, MK_PANEL_Q8, false)
RUN(q8_packed, MK_PANEL_Q8, true)
RUN(q4, MK_PANEL_Q4, false)
RUN(q4_packed, MK_PANEL_Q4, true)
RUN(q4_k, MK_PANEL_Q4_K, false)
RUN(q4_k_packed, MK_PANEL_Q4_K, true)
RUN(q6, MK_PANEL_Q6, false)
RUN(q6_packed, MK_PANEL_Q6, true)

STREAM(q8, MK_PANEL_Q8)
STREAM(q4, MK_PANEL_Q4)
STREAM(q4_k, MK_PANEL_Q4_K)
STREAM(q6, MK_PANEL_Q6)

typedef void (*run_function)(const mk_matrix *, const mk_activations *, size_t, size_t,
                             const mk_ahead *, float *, size_t);

// The function for some tokens.
static run_function function_for(mk_weight_type type, size_t tokens) {
  const bool streams = tokens <= STREAM_TOKENS;
  const bool is_few = tokens <= FEW_TOKENS, is_single = tokens <= TILE_TOKENS;
  switch (type) {
    case MK_WEIGHT_Q4_0:
      return streams ? stream_q4 : is_few ? run_q4_packed : run_q4;
    case MK_WEIGHT_Q4_K:
      return streams ? stream_q4_k : is_single ? run_q4_k_packed : run_q4_k;
    case MK_WEIGHT_Q6_K:
      return streams ? stream_q6 : is_single ? run_q6_packed : run_q6;
    default:
      return streams ? stream_q8 : is_few ? run_q8_packed : run_q8;
  }
}

MK_TARGET void mk_matmul_quantized_avx512(const mk_matrix *weights, const mk_activations *x,
                                          size_t group_begin, size_t group_end,
                                          const mk_ahead *ahead, float *out, size_t out_stride) {
  function_for(weights->type, x->tokens)(weights, x, group_begin, group_end, ahead, out,
                                         out_stride);
}

#endif
