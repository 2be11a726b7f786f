// Attention over the paged cache, the text shared by AVX2 and AVX-512. The arithmetic is told at
// mk_attention.
//
// One lane is a key for the scores, a dimension for the values. A tile's keys stay in the first
// cache level while all query heads of the group use them.

#include "vector.h"

// Dimensions of the accumulator that are held in registers at once, in vectors of 16.
#define MK_CHUNKS 4

// Scores of 16 keys for `heads` query heads, each [head_dim], into scores[head].
MK_INLINE void MK_NAME(scores)(const int heads, const float *keys, const float *queries,
                               size_t head_dim, float scale, mk_v16 *scores) {
  mk_v16 sum[4];
#pragma clang loop unroll(full)
  for (int h = 0; h < heads; h++) sum[h] = (mk_v16){0};
  for (size_t d = 0; d < head_dim; d++) {
    const mk_v16 key = MK_LOAD(keys + d * MK_KEY_TILE);
#pragma clang loop unroll(full)
    for (int h = 0; h < heads; h++) {
      sum[h] = MK_FMA(key, MK_SPLAT(queries[(size_t)h * head_dim + d]), sum[h]);
    }
  }
#pragma clang loop unroll(full)
  for (int h = 0; h < heads; h++) scores[h] = sum[h] * MK_SPLAT(scale);
}

// acc = acc * correction, then key by key acc = fma(weight, value, acc), for `chunks` vectors of
// dimensions.
MK_INLINE void MK_NAME(accumulate)(const int chunks, const float *weights, const float *values,
                                   size_t value_dim, size_t count, float correction, float *acc) {
  mk_v16 sum[MK_CHUNKS];
#pragma clang loop unroll(full)
  for (int c = 0; c < chunks; c++) sum[c] = MK_LOAD(acc + c * 16) * MK_SPLAT(correction);
  for (size_t key = 0; key < count; key++) {
    const mk_v16 weight = MK_SPLAT(weights[key]);
#pragma clang loop unroll(full)
    for (int c = 0; c < chunks; c++) {
      sum[c] = MK_FMA(weight, MK_LOAD(values + key * value_dim + (size_t)c * 16), sum[c]);
    }
  }
#pragma clang loop unroll(full)
  for (int c = 0; c < chunks; c++) MK_STORE(acc + c * 16, sum[c]);
}

// One head's softmax step over a tile whose scores are known; state: acc [value_dim], lanes [16],
// largest [1].
MK_INLINE void MK_NAME(take_tile)(const mk_v16 *tile_scores, size_t count, const float *values,
                                  size_t value_dim, float *acc, float *lanes, float *largest) {
  float weights[MK_KEY_TILE];
  MK_STORE(weights, *tile_scores);
  float top = *largest;
  for (size_t key = 0; key < count; key++) top = weights[key] > top ? weights[key] : top;
  mk_v16 shifted = *tile_scores - MK_SPLAT(top);
  mk_v16 exponentials;
  mk_exp_vector(&shifted, &exponentials);
  MK_STORE(weights, exponentials);
  for (size_t key = count; key < MK_KEY_TILE; key++) weights[key] = 0.0f;
  float correction = 1.0f;
  if (*largest != top) {
    mk_v16 change = MK_SPLAT(*largest - top);
    mk_exp_vector(&change, &exponentials);
    correction = exponentials[0];
  }
  MK_STORE(lanes, MK_FMA(MK_LOAD(lanes), MK_SPLAT(correction), MK_LOAD(weights)));
  *largest = top;
  size_t d = 0;
  for (; d + 64 <= value_dim; d += 64) {
    MK_NAME(accumulate)(4, weights, values + d, value_dim, count, correction, acc + d);
  }
  for (; d < value_dim; d += 16) {
    MK_NAME(accumulate)(1, weights, values + d, value_dim, count, correction, acc + d);
  }
}

// The state of a head in scratch: total [value_dim], acc [value_dim], lanes [16], then largest,
// total sum, total largest.
MK_INLINE void MK_NAME(merge)(float *state, size_t value_dim) {
  float *total = state;
  float *acc = state + value_dim;
  float *tail = acc + value_dim + MK_KEY_TILE;
  const mk_v16 lanes = MK_LOAD(acc + value_dim);
  const float part_sum = mk_tree_vector(&lanes);
  const float largest = tail[0] > tail[2] ? tail[0] : tail[2];
  mk_v16 shifts = {tail[2] - largest, tail[0] - largest};
  mk_v16 factors;
  mk_exp_vector(&shifts, &factors);
  const float keep = factors[0];
  const float take = factors[1];
  tail[1] = __builtin_fmaf(tail[1], keep, part_sum * take);
  tail[2] = largest;
  for (size_t d = 0; d < value_dim; d += 16) {
    const mk_v16 part = MK_LOAD(acc + d) * MK_SPLAT(take);
    MK_STORE(total + d, MK_FMA(MK_LOAD(total + d), MK_SPLAT(keep), part));
  }
}

MK_INLINE void MK_NAME(start)(float *state, size_t value_dim) {
  memset(state + value_dim, 0, (value_dim + MK_KEY_TILE) * sizeof(float));
  state[2 * value_dim + MK_KEY_TILE] = -INFINITY;
}

// Up to four heads over one tile.
MK_INLINE void MK_NAME(take_heads)(const int heads, const mk_kv_layer *layer, const float *keys,
                                   const float *values, size_t count, float scale,
                                   const float *queries, float *state, size_t stride) {
  const size_t value_dim = layer->value_dim;
  mk_v16 scores[4];
  MK_NAME(scores)(heads, keys, queries, layer->head_dim, scale, scores);
  for (int h = 0; h < heads; h++) {
    float *acc = state + (size_t)h * stride + value_dim;
    MK_NAME(take_tile)(scores + h, count, values, value_dim, acc, acc + value_dim,
                       acc + value_dim + MK_KEY_TILE);
  }
}

MK_TARGET void MK_NAME(attention)(const mk_kv_layer *layer, const int32_t *block_table,
                                  size_t length, size_t kv_head, size_t group, float scale,
                                  const float *queries, float *out, float *scratch) {
  const size_t value_dim = layer->value_dim;
  const size_t head_dim = layer->head_dim;
  const size_t tokens = layer->block_tokens;
  const size_t stride = mk_attention_scratch(1, value_dim);
  for (size_t h = 0; h < group; h++) {
    float *state = scratch + h * stride;
    memset(state, 0, stride * sizeof(float));
    state[2 * value_dim + MK_KEY_TILE + 2] = -INFINITY;
  }
  for (size_t first = 0; first < length; first += MK_KEY_TILE) {
    const size_t slot = ((size_t)block_table[first / tokens] * layer->kv_heads + kv_head) * tokens +
                        first % tokens;
    const float *keys = layer->keys + slot * head_dim;
    const float *values = layer->values + slot * value_dim;
    const size_t count = length - first < MK_KEY_TILE ? length - first : MK_KEY_TILE;
    if (first % MK_KEY_PARTITION == 0) {
      for (size_t h = 0; h < group; h++) MK_NAME(start)(scratch + h * stride, value_dim);
    }
    size_t h = 0;
    for (; h + 4 <= group; h += 4) {
      MK_NAME(take_heads)(4, layer, keys, values, count, scale, queries + h * head_dim,
                          scratch + h * stride, stride);
    }
    for (; h < group; h++) {
      MK_NAME(take_heads)(1, layer, keys, values, count, scale, queries + h * head_dim,
                          scratch + h * stride, stride);
    }
    const size_t next = first + MK_KEY_TILE;
    if (next >= length || next % MK_KEY_PARTITION == 0) {
      for (size_t i = 0; i < group; i++) MK_NAME(merge)(scratch + i * stride, value_dim);
    }
  }
  for (size_t h = 0; h < group; h++) {
    const float *state = scratch + h * stride;
    const float inverse = 1.0f / state[2 * value_dim + MK_KEY_TILE + 1];
    for (size_t d = 0; d < head_dim; d++) out[h * head_dim + d] = state[d] * inverse;
  }
}
