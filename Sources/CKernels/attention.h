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

// The tiles of 16 keys of one step.
typedef struct {
  const float *keys[MK_STEP_TILES];
  const float *values[MK_STEP_TILES];
  size_t first; // key
  size_t tiles;
} mk_step;

// The step that starts at key `first`, for queries that see at most `length` keys.
static inline mk_step mk_step_at(const mk_kv_layer *layer, const mk_attention_run *run,
                                 size_t first, size_t length) {
  mk_step step = {{0}, {0}, first, 0};
  size_t tokens = layer->block_tokens;
  for (size_t key = first; key < length && step.tiles < MK_STEP_TILES; key += MK_KEY_TILE) {
    size_t block = (size_t)run->block_table[key / tokens];
    size_t slot = (block * layer->kv_heads + run->kv_head) * tokens + key % tokens;
    step.keys[step.tiles] = layer->keys + slot * layer->head_dim;
    step.values[step.tiles] = layer->values + slot * layer->value_dim;
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
