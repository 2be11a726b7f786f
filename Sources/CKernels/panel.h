// How quantized weights are passed over, as far as vector paths share it: in panels, some row groups
// by a run of blocks, once for each tile of tokens, or in a single pass.

#ifndef MILLRACE_PANEL_H
#define MILLRACE_PANEL_H

#include <immintrin.h>

#include "activations.h"
#include "packed.h"

// What a tile has to do for a weight type.
typedef enum {
  MK_PANEL_Q8 = 0,   // a scale a block, zero at 128: q8_0, q5_0
  MK_PANEL_Q4 = 1,   // a scale a block, zero at 8: q4_0
  MK_PANEL_Q4_K = 2, // a scale and a min a block, zero at 0: q4_K
  MK_PANEL_Q6 = 3,   // a scale for half a block, zero at 32: q6_K
} mk_panel_kind;

static inline __attribute__((always_inline)) bool mk_panel_has_nibbles(const mk_panel_kind kind) {
  return kind == MK_PANEL_Q4 || kind == MK_PANEL_Q4_K;
}

// The bits at which an integer sum starts, zero point taken off; `half` for q6_K.
static inline __attribute__((always_inline)) int32_t mk_panel_start(const mk_panel_kind kind,
                                                                    const mk_block *x,
                                                                    int half) {
  switch (kind) {
    case MK_PANEL_Q8:
      return x->start_q8;
    case MK_PANEL_Q4:
      return x->start_q4;
    case MK_PANEL_Q6:
      return x->start_q6[half];
    default:
      return (int32_t)mk_bits_from_float(x->magic);
  }
}

// Scales and mins of a block of q4_K, a byte a row, from the rows' low and high bits.
static inline __attribute__((always_inline)) void mk_join_bits(__m128i low, __m128i high,
                                                               size_t part, __m128i *scales,
                                                               __m128i *mins) {
  const __m128i four = _mm_set1_epi8(15), two = _mm_set1_epi8(48);
  high = _mm_srl_epi16(high, _mm_cvtsi32_si128((int)(part % 2 * 4)));
  *scales = _mm_or_si128(_mm_and_si128(low, four), _mm_and_si128(_mm_slli_epi16(high, 4), two));
  *mins = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(low, 4), four),
                       _mm_and_si128(_mm_slli_epi16(high, 2), two));
}

// Where in a matrix a panel lies.
typedef struct {
  size_t group, groups;
  size_t block, blocks;
} mk_place;

// The panels of some row groups, in the order in which they are passed over. With many tokens the
// next panel is that of the next rows, so that the activations of a run stay near; with few it is
// that of the next run, so that the weights are read straight on.
typedef struct {
  size_t group_begin, group_end;
  size_t groups;  // of a panel
  size_t at_once; // row groups that all runs are done for before the next ones
  size_t blocks;  // of a row
  size_t run_blocks;
} mk_panel_walk;

// A walk over groups of a matrix in runs of at most `most` blocks.
static inline mk_panel_walk mk_walk_of(const mk_matrix *weights, size_t group_begin,
                                       size_t group_end, size_t groups, size_t at_once,
                                       size_t most) {
  const size_t blocks = weights->columns / MK_BLOCK;
  return (mk_panel_walk){group_begin, group_end, groups, at_once, blocks,
                         mk_run_blocks(blocks, most)};
}

static inline mk_place mk_place_at(const mk_panel_walk *walk, size_t group, size_t block) {
  const size_t groups = walk->group_end - group, blocks = walk->blocks - block;
  return (mk_place){group, groups < walk->groups ? groups : walk->groups, block,
                    blocks < walk->run_blocks ? blocks : walk->run_blocks};
}

// The place after another; it has no groups after the last.
static inline mk_place mk_next_place(const mk_panel_walk *walk, const mk_place *at) {
  const size_t round = (at->group - walk->group_begin) / walk->at_once;
  const size_t begin = walk->group_begin + round * walk->at_once;
  size_t group = at->group + at->groups, block = at->block;
  if (group == begin + walk->at_once || group == walk->group_end) {
    const bool is_last_run = block + at->blocks == walk->blocks;
    block = is_last_run ? 0 : block + at->blocks;
    if (!is_last_run) group = begin;
  }
  return mk_place_at(walk, group, block);
}

// Fetches the next panel's values and scales to the second cache level while one is passed over:
// some with each block of each pass, evenly, since a core has only so many lines under way and
// waits where it is asked for more.
typedef struct {
  const char *values, *scales;
  size_t group_values, group_scales; // bytes from a group's to the next one's
  size_t block_scales;               // bytes of a block
  size_t run_blocks;                 // of the panel
  size_t group, block;               // what comes next
  size_t wanted;                     // blocks of all groups
  size_t turns;                      // that they are spread over
  size_t share;                      // of a block that is due, in parts of `turns`
} mk_fetcher;

static inline mk_fetcher mk_fetcher_of(const mk_matrix *weights, const mk_place *next,
                                       size_t turns) {
  const size_t blocks = weights->columns / MK_BLOCK;
  const size_t scale_bytes = mk_block_scale_bytes(weights->type);
  const size_t index = next->group * blocks + next->block;
  return (mk_fetcher){
      .values = (const char *)mk_block_values(weights, next->group, next->block),
      .scales = (const char *)weights->scales + index * scale_bytes,
      .group_values = blocks * mk_block_value_bytes(weights->type),
      .group_scales = blocks * scale_bytes,
      .block_scales = scale_bytes,
      .run_blocks = next->blocks,
      .wanted = next->groups * next->blocks,
      .turns = turns,
  };
}

// The same while the last panel of a walk is passed over: what is fetched then is the beginning of
// what comes after it, no more than its own size, where values are as wide there.
static inline mk_fetcher mk_fetcher_ahead(const mk_matrix *weights, const mk_panel_walk *walk,
                                          const mk_place *last, const mk_ahead *ahead,
                                          size_t turns) {
  if (ahead == NULL || !mk_is_quantized(ahead->weights->type) ||
      mk_has_nibbles(ahead->weights->type) != mk_has_nibbles(weights->type)) {
    return (mk_fetcher){.turns = turns};
  }
  const size_t groups = (ahead->weights->rows + MK_ROW_GROUP - 1) / MK_ROW_GROUP;
  const mk_panel_walk next = mk_walk_of(ahead->weights, ahead->group, groups, walk->groups,
                                        walk->at_once, walk->run_blocks);
  const mk_place place = mk_place_at(&next, ahead->group, 0);
  mk_fetcher fetcher = mk_fetcher_of(ahead->weights, &place, turns);
  const size_t most = last->groups * last->blocks;
  if (fetcher.wanted > most) fetcher.wanted = most;
  return fetcher;
}

// With each block of a pass.
static inline __attribute__((always_inline)) void mk_fetch_turn(const mk_panel_kind kind,
                                                                mk_fetcher *fetcher) {
  const size_t bytes = mk_panel_has_nibbles(kind) ? 256 : 512;
  fetcher->share += fetcher->wanted;
  while (fetcher->share >= fetcher->turns) {
    fetcher->share -= fetcher->turns;
    const char *values =
        fetcher->values + fetcher->group * fetcher->group_values + fetcher->block * bytes;
#pragma clang loop unroll(full)
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(values + line, 0, 2);
    // A block's share of the scales is shorter than a line: its last byte is enough, but for the
    // edges of K-quants' runs.
    const char *scales = fetcher->scales + fetcher->group * fetcher->group_scales;
    fetcher->block++;
    __builtin_prefetch(scales + fetcher->block * fetcher->block_scales - 1, 0, 2);
    if (fetcher->block == fetcher->run_blocks) {
      fetcher->block = 0;
      fetcher->group++;
    }
  }
}

// A single pass over weights, straight on as they lie in memory. It fetches to the first cache level,
// a little ahead of itself: the hardware's own fetching stops at every page.
#define MK_STREAM_BYTES 4096

// What is fetched meanwhile: with a row group's first block, and with block `turn` what comes after
// the last of these groups. Numbers, not pointers: a little of it may lie behind the last weights.
typedef struct {
  uintptr_t values, scales;
  size_t value_bytes, scale_bytes; // of a block
  size_t turn;
  uintptr_t turn_values, turn_scales;
} mk_stream;

// By how many blocks the stream is ahead of itself.
static inline size_t mk_stream_blocks(const mk_matrix *weights) {
  const size_t blocks = weights->columns / MK_BLOCK;
  const size_t most = MK_STREAM_BYTES / mk_block_value_bytes(weights->type);
  return blocks < most ? blocks : most;
}

static inline mk_stream mk_stream_of(const mk_matrix *weights, size_t group, size_t group_end,
                                     const mk_ahead *ahead) {
  const size_t blocks = weights->columns / MK_BLOCK, near = mk_stream_blocks(weights);
  const size_t scale_bytes = mk_block_scale_bytes(weights->type);
  // Where no quantized weights are known to come, these ones again: they are in a cache.
  const bool is_known = ahead != NULL && mk_is_quantized(ahead->weights->type);
  const mk_matrix *next = is_known ? ahead->weights : weights;
  const size_t next_group = is_known ? ahead->group : group;
  return (mk_stream){
      .values = (uintptr_t)mk_block_values(weights, group, near),
      .scales = (uintptr_t)mk_row_scales(weights, group) + near * scale_bytes,
      .value_bytes = mk_block_value_bytes(weights->type),
      .scale_bytes = scale_bytes,
      .turn = group + 1 < group_end ? blocks : blocks - near,
      .turn_values = (uintptr_t)mk_block_values(next, next_group, 0),
      .turn_scales = (uintptr_t)mk_row_scales(next, next_group),
  };
}

// With each block.
static inline __attribute__((always_inline)) void mk_stream_turn(const mk_panel_kind kind,
                                                                 const mk_stream *stream,
                                                                 size_t block) {
  const bool turned = block >= stream->turn;
  const size_t from = turned ? block - stream->turn : block;
  const uintptr_t values =
      (turned ? stream->turn_values : stream->values) + from * stream->value_bytes;
  const uintptr_t scales =
      (turned ? stream->turn_scales : stream->scales) + from * stream->scale_bytes;
  const size_t bytes = mk_panel_has_nibbles(kind) ? 256 : 512;
#pragma clang loop unroll(full)
  for (size_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch((const void *)(values + line), 0, 3);
  }
  __builtin_prefetch((const void *)scales, 0, 3);
}

// After the last block: some more of other weights that come, to the second level, since the memory
// has nothing to do until then.
static inline void mk_stream_end(const mk_matrix *weights, const mk_ahead *ahead) {
  if (ahead == NULL || ahead->weights->values == weights->values ||
      !mk_is_quantized(ahead->weights->type)) {
    return;
  }
  const mk_matrix *next = ahead->weights;
  const size_t bytes = next->columns / MK_BLOCK * mk_block_value_bytes(next->type);
  const size_t end = bytes < 3 * MK_STREAM_BYTES ? bytes : 3 * MK_STREAM_BYTES;
  const char *values = (const char *)mk_block_values(next, ahead->group, 0);
  const size_t fetched = mk_stream_blocks(weights) * mk_block_value_bytes(weights->type);
  for (size_t i = fetched; i < end; i += 64) __builtin_prefetch(values + i, 0, 2);
}

#endif
