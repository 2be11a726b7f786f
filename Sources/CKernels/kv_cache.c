// Writing keys and values into the paged cache. Layout: see mk_kv_layer.

#pragma STDC FP_CONTRACT OFF

#include <string.h>

#include "CKernels.h"

void mk_kv_write(const mk_kv_layer *layer, int32_t block, size_t offset, const float *key,
                 const float *value) {
  for (size_t head = 0; head < layer->kv_heads; head++) {
    size_t first = ((size_t)block * layer->kv_heads + head) * layer->block_tokens;
    size_t tile = offset - offset % MK_KEY_TILE;
    float *keys = layer->keys + (first + tile) * layer->head_dim + offset % MK_KEY_TILE;
    for (size_t d = 0; d < layer->head_dim; d++) {
      keys[d * MK_KEY_TILE] = key[head * layer->head_dim + d];
    }
    float *values = layer->values + (first + offset) * layer->value_dim;
    memcpy(values, value + head * layer->head_dim, layer->head_dim * sizeof(float));
    memset(values + layer->head_dim, 0, (layer->value_dim - layer->head_dim) * sizeof(float));
  }
}
