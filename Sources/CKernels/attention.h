// Where keys and values of a step lie, and what attention keeps for a query, shared by every path.

#ifndef MILLRACE_ATTENTION_H
#define MILLRACE_ATTENTION_H

#include "kernels.h"

#define MK_STEP_TILES (MK_KEY_STEP / MK_KEY_TILE)

// Scratch of one query: total [value_dim], acc [value_dim], lanes [16], weights [64], then the
// numbers below.
enum { MK_LARGEST = 0, MK_TOTAL_SUM = 1, MK_TOTAL_LARGEST = 2, MK_CORRECTION = 3 };

static inline size_t mk_attention_row_floats(size_t value_dim) {
  return 2 * value_dim + MK_KEY_TILE + MK_KEY_STEP + MK_KEY_TILE;
}

static inline float *mk_row_lanes(float *row, size_t value_dim) { return row + 2 * value_dim; }

static inline float *mk_row_weights(float *row, size_t value_dim) {
  return mk_row_lanes(row, value_dim) + MK_KEY_TILE;
}

static inline float *mk_row_tail(float *row, size_t value_dim) {
  return mk_row_weights(row, value_dim) + MK_KEY_STEP;
}

// Where a tile of 16 keys lies, and where its elements go as floats.
typedef struct {
  size_t slot; // of its first key: (block, kv head, token)
  float *keys;
  float *values;
} mk_tile;

// Brings a tile to float: [dimension][16] of keys, [16][value_dim] of values.
typedef void (*mk_unpack)(const mk_kv_layer *layer, const mk_tile *tile);

// The tiles of 16 keys of one step.
typedef struct {
  mk_kv_type type; // of their elements
  const void *keys[MK_STEP_TILES];
  const void *values[MK_STEP_TILES];
  const float *key_scales[MK_STEP_TILES]; // of int8, as the next
  const float *value_scales[MK_STEP_TILES];
  // What to fetch meanwhile: the same of the next step, or of this one where it is the last.
  const char *next_keys[MK_STEP_TILES];
  const char *next_values[MK_STEP_TILES];
  size_t first; // key
  size_t tiles;
} mk_step;

static inline size_t mk_kv_element_bytes(mk_kv_type type) {
  return type == MK_KV_F32 ? 4 : type == MK_KV_INT8 ? 1 : 2;
}

// Floats that the unpacked tiles of a step take.
static inline size_t mk_unpacked_floats(size_t value_dim) { return 2 * MK_KEY_STEP * value_dim; }

// The place of the first of 16 keys.
static inline size_t mk_slot(const mk_kv_layer *layer, const mk_attention_run *run, size_t key) {
  const size_t block = (size_t)run->block_table[key / layer->block_tokens];
  return (block * layer->kv_heads + run->kv_head) * layer->block_tokens +
         key % layer->block_tokens;
}

// The step that starts at key `first`, for queries that see at most `length` keys, where it lies.
static inline mk_step mk_step_at(const mk_kv_layer *layer, const mk_attention_run *run,
                                 size_t first, size_t length) {
  mk_step step = {.type = layer->type, .first = first};
  const size_t bytes = mk_kv_element_bytes(layer->type);
  for (size_t key = first; key < length && step.tiles < MK_STEP_TILES; key += MK_KEY_TILE) {
    const size_t slot = mk_slot(layer, run, key), tile = step.tiles++;
    step.keys[tile] = (const char *)layer->keys + slot * layer->head_dim * bytes;
    step.values[tile] = (const char *)layer->values + slot * layer->value_dim * bytes;
    if (layer->type == MK_KV_INT8) {
      step.key_scales[tile] = layer->key_scales + slot;
      step.value_scales[tile] = layer->value_scales + slot;
    }
    const size_t later = key + MK_KEY_STEP;
    const size_t next = later < length ? mk_slot(layer, run, later) : slot;
    step.next_keys[tile] = (const char *)layer->keys + next * layer->head_dim * bytes;
    step.next_values[tile] = (const char *)layer->values + next * layer->value_dim * bytes;
  }
  return step;
}

// The same as floats, in `unpacked` unless it is stored so.
static inline mk_step mk_unpacked_step_at(const mk_kv_layer *layer, const mk_attention_run *run,
                                          size_t first, size_t length, mk_unpack unpack,
                                          float *unpacked) {
  mk_step step = mk_step_at(layer, run, first, length);
  if (layer->type == MK_KV_F32) return step;
  const size_t tile_floats = MK_KEY_TILE * layer->value_dim;
  for (size_t i = 0; i < step.tiles; i++) {
    mk_tile tile = {mk_slot(layer, run, first + i * MK_KEY_TILE), unpacked + 2 * i * tile_floats,
                    NULL};
    tile.values = tile.keys + tile_floats;
    unpack(layer, &tile);
    step.keys[i] = tile.keys;
    step.values[i] = tile.values;
    // Nothing to fetch: what is stored is touched once for many rows.
    step.next_keys[i] = (const char *)tile.keys;
    step.next_values[i] = (const char *)tile.values;
  }
  step.type = MK_KV_F32;
  return step;
}

// Which keys a query sees: the first `sinks`, and those from `from` up to `length`.
typedef struct {
  size_t length;
  size_t from;
  size_t start; // of the step that holds key `from`
  size_t sinks;
} mk_view;

static inline mk_view mk_view_of(const mk_attention_run *run, size_t token) {
  mk_view view = {.length = run->length + token};
  if (run->window > 0 && view.length > run->window) {
    view.from = view.length - run->window;
    view.start = view.from / MK_KEY_STEP * MK_KEY_STEP;
    view.sinks = run->sinks;
  }
  return view;
}

static inline size_t mk_first_step(const mk_view *view) {
  return view->sinks > 0 ? 0 : view->start;
}

// The step after one that is taken.
static inline size_t mk_next_step(const mk_view *view, size_t first) {
  return first < view->start ? view->start : first + MK_KEY_STEP;
}

static inline bool mk_takes_step(const mk_view *view, size_t first) {
  return first < view->length && (first >= view->start || (first == 0 && view->sinks > 0));
}

// Whether a step that is taken is the first one, or the last one, of its partition.
static inline bool mk_begins_partition(const mk_view *view, size_t first) {
  const bool has_sinks_before =
      first > 0 && first == view->start && view->sinks > 0 && first < MK_KEY_PARTITION;
  return first % MK_KEY_PARTITION == 0 || (first == view->start && !has_sinks_before);
}

static inline bool mk_ends_partition(const mk_view *view, size_t first) {
  const size_t next = mk_next_step(view, first);
  return next >= view->length || next / MK_KEY_PARTITION != first / MK_KEY_PARTITION;
}

// Which keys of a step a query sees: of the first `count` those from `from` on, and the first
// `sinks`.
typedef struct {
  size_t count;
  size_t from;
  size_t sinks;
} mk_span;

static inline mk_span mk_span_of(const mk_view *view, size_t first) {
  if (first < view->start) return (mk_span){.count = view->sinks};
  const size_t left = view->length - first;
  return (mk_span){
      .count = left < MK_KEY_STEP ? left : MK_KEY_STEP,
      .from = view->from > first ? view->from - first : 0,
      .sinks = first == 0 ? view->sinks : 0,
  };
}

static inline bool mk_is_whole(const mk_span *span) {
  return span->count == MK_KEY_STEP && span->from == 0;
}

#endif
