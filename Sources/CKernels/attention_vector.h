// Attention over the paged cache, the text shared by AVX2 and AVX-512. The arithmetic is told at
// mk_attention.
//
// A row is one query head of one token. Rows are taken four at a time over a step of 64 keys: one
// lane is a key for the scores, a dimension for the values, and what is loaded of keys and values
// serves all four. MK_VECTORS vectors of 16 lanes are in work for each row. Rows that see fewer
// keys than others mask the scores, and take part in the sums over values only as far as they see.
//
// Keys and values that are not stored as floats are brought to it as they are loaded, where that
// happens once; where there are more rows, before all of them. The next step is fetched meanwhile:
// blocks lie anywhere, so that the hardware does not foresee it.

#include "attention.h"
#include "vector.h"

#define MK_ROWS 4

typedef uint16_t mk_v16h __attribute__((vector_size(32), aligned(2)));
typedef int8_t mk_v16b __attribute__((vector_size(16), aligned(1)));

// Runs of halves, a multiple of 16, to float.
static MK_TARGET void MK_NAME(unpack_f16)(const uint16_t *in, size_t count, float *out) {
  for (size_t i = 0; i < count; i += 16) {
    const __m256i halves = _mm256_loadu_si256((const __m256i *)(in + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm256_castsi256_si128(halves)));
    _mm256_storeu_ps(out + i + 8, _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)));
  }
}

static MK_TARGET void MK_NAME(unpack_bf16)(const uint16_t *in, size_t count, float *out) {
  for (size_t i = 0; i < count; i += 16) {
    const mk_v16i wide = __builtin_convertvector(*(const mk_v16h *)(in + i), mk_v16i) << 16;
    MK_STORE(out + i, (mk_v16)wide);
  }
}

static MK_TARGET void MK_NAME(unpack_int8)(const mk_kv_layer *layer, const mk_tile *tile) {
  const int8_t *keys = (const int8_t *)layer->keys + tile->slot * layer->head_dim;
  const int8_t *values = (const int8_t *)layer->values + tile->slot * layer->value_dim;
  const mk_v16 key_scales = MK_LOAD(layer->key_scales + tile->slot);
  for (size_t d = 0; d < layer->head_dim; d++) {
    const mk_v16b quants = *(const mk_v16b *)(keys + d * MK_KEY_TILE);
    MK_STORE(tile->keys + d * MK_KEY_TILE, __builtin_convertvector(quants, mk_v16) * key_scales);
  }
  for (size_t token = 0; token < MK_KEY_TILE; token++) {
    const mk_v16 scale = MK_SPLAT(layer->value_scales[tile->slot + token]);
    const size_t first = token * layer->value_dim;
    for (size_t d = 0; d < layer->value_dim; d += 16) {
      const mk_v16b quants = *(const mk_v16b *)(values + first + d);
      MK_STORE(tile->values + first + d, __builtin_convertvector(quants, mk_v16) * scale);
    }
  }
}

static MK_TARGET void MK_NAME(unpack)(const mk_kv_layer *layer, const mk_tile *tile) {
  const size_t keys = tile->slot * layer->head_dim;
  const size_t values = tile->slot * layer->value_dim;
  const size_t key_count = MK_KEY_TILE * layer->head_dim;
  const size_t value_count = MK_KEY_TILE * layer->value_dim;
  switch (layer->type) {
    case MK_KV_F32:
      return;
    case MK_KV_F16:
      MK_NAME(unpack_f16)((const uint16_t *)layer->keys + keys, key_count, tile->keys);
      MK_NAME(unpack_f16)((const uint16_t *)layer->values + values, value_count, tile->values);
      return;
    case MK_KV_BF16:
      MK_NAME(unpack_bf16)((const uint16_t *)layer->keys + keys, key_count, tile->keys);
      MK_NAME(unpack_bf16)((const uint16_t *)layer->values + values, value_count, tile->values);
      return;
    case MK_KV_INT8:
      MK_NAME(unpack_int8)(layer, tile);
      return;
  }
}

// Sixteen elements from `index` on as floats; `scale` for each of them, of int8.
MK_INLINE void MK_NAME(read)(const mk_kv_type type, const void *from, size_t index,
                             const mk_v16 *scale, mk_v16 *out) {
  switch (type) {
    case MK_KV_F32:
      *out = MK_LOAD((const float *)from + index);
      return;
    case MK_KV_F16: {
      const __m256i halves = _mm256_loadu_si256((const __m256i *)((const uint16_t *)from + index));
      MK_HALVES(halves, *out);
      return;
    }
    case MK_KV_BF16: {
      const mk_v16h halves = *(const mk_v16h *)((const uint16_t *)from + index);
      *out = (mk_v16)(__builtin_convertvector(halves, mk_v16i) << 16);
      return;
    }
    case MK_KV_INT8: {
      const mk_v16b quants = *(const mk_v16b *)((const int8_t *)from + index);
      *out = __builtin_convertvector(quants, mk_v16) * *scale;
      return;
    }
  }
}

// Rows that are taken together.
typedef struct {
  const float *queries[MK_ROWS];
  float *states[MK_ROWS];
  mk_span spans[MK_ROWS]; // keys of the step that each sees
} mk_rows;

// Scores of `vectors` tiles of 16 keys, not yet scaled, to the rows' weights.
MK_INLINE void MK_NAME(score)(const mk_kv_type type, const int rows, const int vectors,
                              const mk_rows *r, const mk_step *step, size_t tile, size_t head_dim,
                              size_t value_dim) {
  const size_t line = MK_KEY_TILE * mk_kv_element_bytes(type);
  mk_v16 sum[MK_ROWS][MK_VECTORS];
  mk_v16 scale[MK_VECTORS];
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; v++) {
    if (type == MK_KV_INT8) scale[v] = MK_LOAD(step->key_scales[tile + (size_t)v]);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) sum[i][v] = (mk_v16){0};
  }
  for (size_t d = 0; d < head_dim; d++) {
    mk_v16 key[MK_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      MK_NAME(read)(type, step->keys[tile + (size_t)v], d * MK_KEY_TILE, scale + v, key + v);
      _mm_prefetch(step->next_keys[tile + (size_t)v] + d * line, _MM_HINT_T1);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      const mk_v16 query = MK_SPLAT(r->queries[i][d]);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[i][v] = MK_FMA(key[v], query, sum[i][v]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    float *weights = mk_row_weights(r->states[i], value_dim) + tile * MK_KEY_TILE;
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) MK_STORE(weights + v * MK_KEY_TILE, sum[i][v]);
  }
}

// All ones in the lanes of a tile's keys that a row sees.
MK_INLINE void MK_NAME(see)(size_t tile, const mk_span *span, mk_v16i *seen) {
  const mk_v16i order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  const mk_v16i key = order + (int32_t)(tile * MK_KEY_TILE);
  *seen = (key < (int32_t)span->count) &
          ((key >= (int32_t)span->from) | (key < (int32_t)span->sinks));
}

// Scales a row's scores; returns the largest of those that it sees, which are all if `whole`.
MK_INLINE float MK_NAME(scale_scores)(const bool whole, float *weights, size_t tiles,
                                      const mk_span *span, float scale) {
  const mk_v16 lowest = MK_SPLAT(-INFINITY);
  mk_v16 top = lowest;
  mk_v16i seen;
  for (size_t tile = 0; tile < tiles; tile++) {
    mk_v16 score = MK_LOAD(weights + tile * MK_KEY_TILE) * MK_SPLAT(scale);
    if (!whole) {
      MK_NAME(see)(tile, span, &seen);
      score = MK_SELECT(seen, score, lowest);
    }
    MK_STORE(weights + tile * MK_KEY_TILE, score);
    top = MK_SELECT(score > top, score, top);
  }
  return mk_max_vector(&top);
}

// The softmax step of rows: scores become weights; lanes, largest and correction are brought up to
// date.
MK_INLINE void MK_NAME(soften)(const int rows, const bool whole, const mk_rows *r,
                               size_t value_dim, size_t tiles, float scale) {
  mk_v16 changes = {0};
  mk_v16 factors;
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    float *tail = mk_row_tail(r->states[i], value_dim);
    const float before = tail[MK_LARGEST];
    const float top = MK_NAME(scale_scores)(whole, mk_row_weights(r->states[i], value_dim), tiles,
                                            &r->spans[i], scale);
    tail[MK_LARGEST] = top > before ? top : before;
    changes[i] = before - tail[MK_LARGEST];
  }
  mk_exp_vector(&changes, &factors);
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    float *weights = mk_row_weights(r->states[i], value_dim);
    float *lanes = mk_row_lanes(r->states[i], value_dim);
    float *tail = mk_row_tail(r->states[i], value_dim);
    const mk_v16 largest = MK_SPLAT(tail[MK_LARGEST]);
    mk_v16 sum = {0};
    for (size_t tile = 0; tile < tiles; tile++) {
      const mk_v16 shifted = MK_LOAD(weights + tile * MK_KEY_TILE) - largest;
      mk_v16 weight;
      mk_exp_vector(&shifted, &weight);
      if (!whole) {
        mk_v16i seen;
        MK_NAME(see)(tile, &r->spans[i], &seen);
        weight = MK_SELECT(seen, weight, (mk_v16){0});
      }
      MK_STORE(weights + tile * MK_KEY_TILE, weight);
      sum = tile == 0 ? MK_FMA(MK_LOAD(lanes), MK_SPLAT(factors[i]), weight) : sum + weight;
    }
    MK_STORE(lanes, sum);
    tail[MK_CORRECTION] = factors[i];
  }
}

// `vectors` vectors of dimensions from d on of a key's values.
MK_INLINE void MK_NAME(read_values)(const mk_kv_type type, const int vectors, const mk_step *step,
                                    size_t key, size_t d, size_t value_dim, mk_v16 *value) {
  const size_t tile = key / MK_KEY_TILE, place = key % MK_KEY_TILE;
  const size_t first = place * value_dim + d;
  mk_v16 scale;
  if (type == MK_KV_INT8) scale = MK_SPLAT(step->value_scales[tile][place]);
#pragma clang loop unroll(full)
  for (int v = 0; v < vectors; v++) {
    MK_NAME(read)(type, step->values[tile], first + (size_t)v * 16, &scale, value + v);
  }
}

// acc = acc * correction, then key by key acc = fma(weight, value, acc), for `vectors` vectors of
// dimensions from d on.
MK_INLINE void MK_NAME(accumulate)(const mk_kv_type type, const int rows, const int vectors,
                                   const mk_rows *r, const mk_step *step, size_t d,
                                   size_t value_dim) {
  const size_t bytes = mk_kv_element_bytes(type);
  mk_v16 sum[MK_ROWS][MK_VECTORS];
  const float *weights[MK_ROWS];
  size_t shared = MK_KEY_STEP;
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    weights[i] = mk_row_weights(r->states[i], value_dim);
    const mk_v16 correction = MK_SPLAT(mk_row_tail(r->states[i], value_dim)[MK_CORRECTION]);
    const float *acc = r->states[i] + value_dim + d;
    if (r->spans[i].count < shared) shared = r->spans[i].count;
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) sum[i][v] = MK_LOAD(acc + v * 16) * correction;
  }
  mk_v16 value[MK_VECTORS];
  for (size_t key = 0; key < shared; key++) {
    const char *next = step->next_values[key / MK_KEY_TILE] +
                       (key % MK_KEY_TILE * value_dim + d) * bytes;
    MK_NAME(read_values)(type, vectors, step, key, d, value_dim, value);
#pragma clang loop unroll(full)
    for (size_t at = 0; at < (size_t)vectors * 16 * bytes; at += 64) {
      _mm_prefetch(next + at, _MM_HINT_T1);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      const mk_v16 weight = MK_SPLAT(weights[i][key]);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[i][v] = MK_FMA(weight, value[v], sum[i][v]);
    }
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    for (size_t key = shared; key < r->spans[i].count; key++) {
      const mk_v16 weight = MK_SPLAT(weights[i][key]);
      MK_NAME(read_values)(type, vectors, step, key, d, value_dim, value);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[i][v] = MK_FMA(weight, value[v], sum[i][v]);
    }
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      MK_STORE(r->states[i] + value_dim + d + v * 16, sum[i][v]);
    }
  }
}

// Rows that all see a part of the step.
MK_INLINE void MK_NAME(take_rows)(const mk_kv_type type, const int rows, const mk_kv_layer *layer,
                                  float scale, const mk_rows *r, const mk_step *step) {
  const size_t value_dim = layer->value_dim;
  size_t keys = 0;
  bool whole = true;
  for (int i = 0; i < rows; i++) {
    if (r->spans[i].count > keys) keys = r->spans[i].count;
    whole = whole && mk_is_whole(&r->spans[i]);
  }
  const size_t tiles = (keys + MK_KEY_TILE - 1) / MK_KEY_TILE;
  size_t tile = 0;
  for (; tile + MK_VECTORS <= tiles; tile += MK_VECTORS) {
    MK_NAME(score)(type, rows, MK_VECTORS, r, step, tile, layer->head_dim, value_dim);
  }
  for (; MK_VECTORS > 2 && tile + 2 <= tiles; tile += 2) {
    MK_NAME(score)(type, rows, MK_VECTORS > 2 ? 2 : 1, r, step, tile, layer->head_dim, value_dim);
  }
  for (; tile < tiles; tile++) {
    MK_NAME(score)(type, rows, 1, r, step, tile, layer->head_dim, value_dim);
  }
  if (whole) {
    MK_NAME(soften)(rows, true, r, value_dim, MK_STEP_TILES, scale);
  } else {
    MK_NAME(soften)(rows, false, r, value_dim, tiles, scale);
  }
  size_t d = 0;
  for (; d + MK_VECTORS * 16 <= value_dim; d += MK_VECTORS * 16) {
    MK_NAME(accumulate)(type, rows, MK_VECTORS, r, step, d, value_dim);
  }
  for (; d < value_dim; d += 16) MK_NAME(accumulate)(type, rows, 1, r, step, d, value_dim);
}

// The same as functions, for each type and one to four rows.
typedef void (*MK_NAME(take))(const mk_kv_layer *, float, const mk_rows *, const mk_step *);

#define MK_TAKE(type, rows)                                                                    \
  static MK_TARGET void MK_NAME(take_##type##_##rows)(const mk_kv_layer *layer, float scale,   \
                                                      const mk_rows *r, const mk_step *step) { \
    MK_NAME(take_rows)(type, rows, layer, scale, r, step);                                     \
  }
#define MK_TAKES(type) MK_TAKE(type, 1) MK_TAKE(type, 2) MK_TAKE(type, 3) MK_TAKE(type, 4)

MK_TAKES(MK_KV_F32)
MK_TAKES(MK_KV_F16)
MK_TAKES(MK_KV_BF16)
MK_TAKES(MK_KV_INT8)

#define MK_TAKEN(type)                                                  \
  [type] = {MK_NAME(take_##type##_1), MK_NAME(take_##type##_2),         \
            MK_NAME(take_##type##_3), MK_NAME(take_##type##_4)}

static const MK_NAME(take) MK_NAME(takes)[4][MK_ROWS] = {
    MK_TAKEN(MK_KV_F32), MK_TAKEN(MK_KV_F16), MK_TAKEN(MK_KV_BF16), MK_TAKEN(MK_KV_INT8)};

// Ends a partition: both sides are brought to the larger of the two maxima.
MK_INLINE void MK_NAME(merge)(float *state, size_t value_dim) {
  float *total = state;
  float *acc = state + value_dim;
  float *tail = mk_row_tail(state, value_dim);
  const mk_v16 lanes = MK_LOAD(mk_row_lanes(state, value_dim));
  const float part_sum = mk_tree_vector(&lanes);
  const bool grows = tail[MK_LARGEST] > tail[MK_TOTAL_LARGEST];
  const float largest = grows ? tail[MK_LARGEST] : tail[MK_TOTAL_LARGEST];
  mk_v16 shifts = {tail[MK_TOTAL_LARGEST] - largest, tail[MK_LARGEST] - largest};
  mk_v16 factors;
  mk_exp_vector(&shifts, &factors);
  const float keep = factors[0];
  const float take = factors[1];
  tail[MK_TOTAL_SUM] = __builtin_fmaf(tail[MK_TOTAL_SUM], keep, part_sum * take);
  tail[MK_TOTAL_LARGEST] = largest;
  for (size_t d = 0; d < value_dim; d += 16) {
    const mk_v16 part = MK_LOAD(acc + d) * MK_SPLAT(take);
    MK_STORE(total + d, MK_FMA(MK_LOAD(total + d), MK_SPLAT(keep), part));
  }
}

MK_INLINE void MK_NAME(start)(float *state, size_t value_dim) {
  memset(state + value_dim, 0, (value_dim + MK_KEY_TILE) * sizeof(float));
  mk_row_tail(state, value_dim)[MK_LARGEST] = -INFINITY;
}

// Rows from `first_row` up to `end_row`, which see a part of it, over one step.
MK_INLINE void MK_NAME(take_step)(const mk_kv_layer *layer, const mk_attention_run *run,
                                  const mk_step *step, size_t first_row, size_t end_row,
                                  const float *queries, float *scratch) {
  for (size_t row = first_row; row < end_row; row += MK_ROWS) {
    const size_t rows = end_row - row < MK_ROWS ? end_row - row : MK_ROWS;
    mk_rows r;
    for (size_t i = 0; i < rows; i++) {
      const size_t token = (row + i) / run->group;
      const size_t head = (row + i) % run->group;
      r.queries[i] = queries + token * run->stride + head * layer->head_dim;
      r.states[i] = scratch + (row + i) * mk_attention_row_floats(layer->value_dim);
      const mk_view view = mk_view_of(run, token);
      r.spans[i] = mk_span_of(&view, step->first);
    }
    MK_NAME(takes)[step->type][rows - 1](layer, run->scale, &r, step);
  }
}

MK_TARGET void MK_NAME(attention)(const mk_kv_layer *layer, const mk_attention_run *run,
                                  const float *queries, float *out, float *scratch) {
  const size_t value_dim = layer->value_dim;
  const size_t stride = mk_attention_row_floats(value_dim);
  const size_t rows = run->tokens * run->group;
  const size_t longest = run->length + run->tokens - 1;
  float *unpacked = scratch + rows * stride;
  for (size_t row = 0; row < rows; row++) {
    float *state = scratch + row * stride;
    memset(state, 0, stride * sizeof(float));
    mk_row_tail(state, value_dim)[MK_TOTAL_LARGEST] = -INFINITY;
  }
  // Of all tokens the first one sees farthest back.
  const mk_view farthest = mk_view_of(run, 0);
  for (size_t first = mk_first_step(&farthest); first < longest;
       first = mk_next_step(&farthest, first)) {
    // Tokens see one key more each, and forget one: those that do not reach this step yet come
    // before those that take it, and behind these those that have left it.
    size_t first_token = 0, end_token = run->tokens;
    mk_view view = farthest;
    while (!mk_takes_step(&view, first)) view = mk_view_of(run, ++first_token);
    while (view = mk_view_of(run, end_token - 1), !mk_takes_step(&view, first)) end_token--;
    const size_t first_row = first_token * run->group, end_row = end_token * run->group;
    // Between the sinks and the window nothing is looked at.
    const size_t end = first < farthest.start ? farthest.sinks : longest;
    const mk_step step =
        rows <= MK_ROWS ? mk_step_at(layer, run, first, end)
                        : mk_unpacked_step_at(layer, run, first, end, MK_NAME(unpack), unpacked);
    for (size_t row = first_row; row < end_row; row++) {
      view = mk_view_of(run, row / run->group);
      if (mk_begins_partition(&view, first)) MK_NAME(start)(scratch + row * stride, value_dim);
    }
    MK_NAME(take_step)(layer, run, &step, first_row, end_row, queries, scratch);
    for (size_t row = first_row; row < end_row; row++) {
      view = mk_view_of(run, row / run->group);
      if (mk_ends_partition(&view, first)) MK_NAME(merge)(scratch + row * stride, value_dim);
    }
  }
  for (size_t row = 0; row < rows; row++) {
    const float *state = scratch + row * stride;
    const float inverse = 1.0f / mk_row_tail((float *)state, value_dim)[MK_TOTAL_SUM];
    float *to = out + row / run->group * run->stride + row % run->group * layer->head_dim;
    for (size_t d = 0; d < layer->head_dim; d++) to[d] = state[d] * inverse;
  }
}
