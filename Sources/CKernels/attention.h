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
  const float *keys[MK_STEP_TILES];
  const float *values[MK_STEP_TILES];
  size_t first; // key
  size_t tiles;
} mk_step;

// Floats that the unpacked tiles of a step take.
static inline size_t mk_unpacked_floats(size_t value_dim) { return 2 * MK_KEY_STEP * value_dim; }

// The step that starts at key `first`, for queries that see at most `length` keys. What is stored as
// float stays where it is; all else goes through `unpacked`.
static inline mk_step mk_step_at(const mk_kv_layer *layer, const mk_attention_run *run,
                                 size_t first, size_t length, mk_unpack unpack,
                                 float *unpacked) {
  mk_step step = {{0}, {0}, first, 0};
  size_t tokens = layer->block_tokens;
  for (size_t key = first; key < length && step.tiles < MK_STEP_TILES; key += MK_KEY_TILE) {
    size_t block = (size_t)run->block_table[key / tokens];
    size_t slot = (block * layer->kv_heads + run->kv_head) * tokens + key % tokens;
    if (layer->type == MK_KV_F32) {
      step.keys[step.tiles] = (const float *)layer->keys + slot * layer->head_dim;
      step.values[step.tiles] = (const float *)layer->values + slot * layer->value_dim;
    } else {
      size_t tile_floats = MK_KEY_TILE * layer->value_dim;
      mk_tile tile = {slot, unpacked + 2 * step.tiles * tile_floats, NULL};
      tile.values = tile.keys + tile_floats;
      unpack(layer, &tile);
      step.keys[step.tiles] = tile.keys;
      step.values[step.tiles] = tile.values;
    }
    step.tiles += 1;
  }
  return step;
}

// Keys of the step that a query sees that sees `length` in all.
static inline size_t mk_step_count(const mk_step *step, size_t length) {
  if (length <= step->first) return 0;
  return length - step->first < MK_KEY_STEP ? length - step->first : MK_KEY_STEP;
}

#endif
