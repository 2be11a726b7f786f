// Attention over the paged cache, reference. The arithmetic is told at mk_attention.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "attention.h"
#include "half.h"
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

static void unpack_f16(const uint16_t *in, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) out[i] = mk_float_from_f16(in[i]);
}

static void unpack_bf16(const uint16_t *in, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) out[i] = mk_float_from_bf16(in[i]);
}

static void unpack_int8(const mk_kv_layer *layer, const mk_tile *tile) {
  const int8_t *keys = (const int8_t *)layer->keys + tile->slot * layer->head_dim;
  const int8_t *values = (const int8_t *)layer->values + tile->slot * layer->value_dim;
  for (size_t i = 0; i < MK_KEY_TILE * layer->head_dim; i++) {
    tile->keys[i] = (float)keys[i] * layer->key_scales[tile->slot + i % MK_KEY_TILE];
  }
  for (size_t i = 0; i < MK_KEY_TILE * layer->value_dim; i++) {
    tile->values[i] = (float)values[i] * layer->value_scales[tile->slot + i / layer->value_dim];
  }
}

static void unpack(const mk_kv_layer *layer, const mk_tile *tile) {
  const size_t keys = tile->slot * layer->head_dim;
  const size_t values = tile->slot * layer->value_dim;
  const size_t key_count = MK_KEY_TILE * layer->head_dim;
  const size_t value_count = MK_KEY_TILE * layer->value_dim;
  switch (layer->type) {
    case MK_KV_F32:
      return;
    case MK_KV_F16:
      unpack_f16((const uint16_t *)layer->keys + keys, key_count, tile->keys);
      unpack_f16((const uint16_t *)layer->values + values, value_count, tile->values);
      return;
    case MK_KV_BF16:
      unpack_bf16((const uint16_t *)layer->keys + keys, key_count, tile->keys);
      unpack_bf16((const uint16_t *)layer->values + values, value_count, tile->values);
      return;
    case MK_KV_INT8:
      unpack_int8(layer, tile);
      return;
  }
}

static bool sees(const mk_span *span, size_t key) {
  return key < span->count && (key >= span->from || key < span->sinks);
}

static void take_step(softmax_state *state, const mk_step *step, const mk_span *span,
                      const mk_kv_layer *layer, float scale, const float *query) {
  float weights[MK_KEY_STEP];
  float largest = state->largest;
  for (size_t key = 0; key < span->count; key++) {
    if (!sees(span, key)) continue;
    const float *keys = (const float *)step->keys[key / MK_KEY_TILE] + key % MK_KEY_TILE;
    float score = 0.0f;
    for (size_t d = 0; d < layer->head_dim; d++) {
      score = __builtin_fmaf(keys[d * MK_KEY_TILE], query[d], score);
    }
    weights[key] = score * scale;
    if (weights[key] > largest) largest = weights[key];
  }
  float correction = mk_exp_one(state->largest - largest);
  for (size_t key = 0; key < MK_KEY_STEP; key++) {
    float *lane = state->lanes + key % MK_KEY_TILE;
    weights[key] = sees(span, key) ? mk_exp_one(weights[key] - largest) : 0.0f;
    *lane = key < MK_KEY_TILE ? __builtin_fmaf(*lane, correction, weights[key])
                              : *lane + weights[key];
  }
  for (size_t d = 0; d < layer->value_dim; d++) {
    float sum = state->acc[d] * correction;
    for (size_t key = 0; key < span->count; key++) {
      const float *values = (const float *)step->values[key / MK_KEY_TILE];
      sum = __builtin_fmaf(weights[key], values[key % MK_KEY_TILE * layer->value_dim + d], sum);
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

static void attend(const mk_kv_layer *layer, const mk_attention_run *run, const mk_view *view,
                   const float *query, float *out, float *scratch) {
  size_t value_dim = layer->value_dim;
  float *unpacked = scratch + mk_attention_row_floats(value_dim);
  float *total = scratch;
  softmax_state part = {scratch + value_dim, mk_row_lanes(scratch, value_dim), 0.0f};
  float sum = 0.0f;
  float largest = -INFINITY;
  for (size_t d = 0; d < value_dim; d++) total[d] = 0.0f;
  for (size_t first = mk_first_step(view); first < view->length;
       first = mk_next_step(view, first)) {
    if (mk_begins_partition(view, first)) start(&part, value_dim);
    mk_span span = mk_span_of(view, first);
    mk_step step = mk_unpacked_step_at(layer, run, first, first + span.count, unpack, unpacked);
    take_step(&part, &step, &span, layer, run->scale, query);
    if (mk_ends_partition(view, first)) merge(total, &sum, &largest, &part, value_dim);
  }
  float inverse = 1.0f / sum;
  for (size_t d = 0; d < layer->head_dim; d++) out[d] = total[d] * inverse;
}

void mk_attention_scalar(const mk_kv_layer *layer, const mk_attention_run *run,
                         const float *queries, float *out, float *scratch) {
  for (size_t token = 0; token < run->tokens; token++) {
    for (size_t head = 0; head < run->group; head++) {
      size_t place = token * run->stride + head * layer->head_dim;
      mk_view view = mk_view_of(run, token);
      attend(layer, run, &view, queries + place, out + place, scratch);
    }
  }
}
