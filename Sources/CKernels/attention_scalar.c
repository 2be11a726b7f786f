// Attention over the paged cache, reference. The arithmetic is told at mk_attention.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "kernels.h"
#include "scalar.h"

// A running online softmax: value_dim weighted sums, 16 lanes of weights, and the largest score.
typedef struct {
  float *acc;
  float *lanes;
  float largest;
} softmax_state;

static void start(softmax_state *state, size_t value_dim) {
  for (size_t d = 0; d < value_dim; d++) state->acc[d] = 0.0f;
  for (size_t lane = 0; lane < MK_KEY_TILE; lane++) state->lanes[lane] = 0.0f;
  state->largest = -INFINITY;
}

static void take_tile(softmax_state *state, const float *keys, const float *values, size_t count,
                      const mk_kv_layer *layer, float scale, const float *query) {
  float scores[MK_KEY_TILE];
  float largest = state->largest;
  for (size_t key = 0; key < count; key++) {
    float score = 0.0f;
    for (size_t d = 0; d < layer->head_dim; d++) {
      score = __builtin_fmaf(keys[d * MK_KEY_TILE + key], query[d], score);
    }
    scores[key] = score * scale;
    if (scores[key] > largest) largest = scores[key];
  }
  float correction = mk_exp_one(state->largest - largest);
  for (size_t lane = 0; lane < MK_KEY_TILE; lane++) {
    scores[lane] = lane < count ? mk_exp_one(scores[lane] - largest) : 0.0f;
    state->lanes[lane] = __builtin_fmaf(state->lanes[lane], correction, scores[lane]);
  }
  for (size_t d = 0; d < layer->value_dim; d++) {
    float sum = state->acc[d] * correction;
    for (size_t key = 0; key < count; key++) {
      sum = __builtin_fmaf(scores[key], values[key * layer->value_dim + d], sum);
    }
    state->acc[d] = sum;
  }
  state->largest = largest;
}

// Merges a finished partition into the total: both sides are brought to the larger of the two
// maxima.
static void merge(float *total, float *total_sum, float *total_largest, softmax_state *part,
                  size_t value_dim) {
  float part_sum = mk_tree(part->lanes);
  float largest = part->largest > *total_largest ? part->largest : *total_largest;
  float keep = mk_exp_one(*total_largest - largest);
  float take = mk_exp_one(part->largest - largest);
  *total_sum = __builtin_fmaf(*total_sum, keep, part_sum * take);
  for (size_t d = 0; d < value_dim; d++) {
    total[d] = __builtin_fmaf(total[d], keep, part->acc[d] * take);
  }
  *total_largest = largest;
}

static void attend(const mk_kv_layer *layer, const int32_t *block_table, size_t length,
                   size_t kv_head, float scale, const float *query, float *out, float *scratch) {
  size_t value_dim = layer->value_dim;
  size_t tokens = layer->block_tokens;
  float *total = scratch;
  softmax_state part = {scratch + value_dim, scratch + 2 * value_dim, 0.0f};
  float sum = 0.0f;
  float largest = -INFINITY;
  for (size_t d = 0; d < value_dim; d++) total[d] = 0.0f;
  for (size_t first = 0; first < length; first += MK_KEY_TILE) {
    if (first % MK_KEY_PARTITION == 0) start(&part, value_dim);
    size_t slot = ((size_t)block_table[first / tokens] * layer->kv_heads + kv_head) * tokens +
                  first % tokens;
    size_t count = length - first < MK_KEY_TILE ? length - first : MK_KEY_TILE;
    take_tile(&part, layer->keys + slot * layer->head_dim, layer->values + slot * value_dim, count,
              layer, scale, query);
    size_t next = first + MK_KEY_TILE;
    if (next >= length || next % MK_KEY_PARTITION == 0) {
      merge(total, &sum, &largest, &part, value_dim);
    }
  }
  float inverse = 1.0f / sum;
  for (size_t d = 0; d < layer->head_dim; d++) out[d] = total[d] * inverse;
}

void mk_attention_scalar(const mk_kv_layer *layer, const int32_t *block_table, size_t length,
                         size_t kv_head, size_t group, float scale, const float *queries,
                         float *out, float *scratch) {
  for (size_t head = 0; head < group; head++) {
    attend(layer, block_table, length, kv_head, scale, queries + head * layer->head_dim,
           out + head * layer->head_dim, scratch);
  }
}
