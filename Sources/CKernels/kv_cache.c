// Writing keys and values into the paged cache. Layout and rounding: see mk_kv_layer.

#pragma STDC FP_CONTRACT OFF

#include <math.h>

#include "CKernels.h"
#include "half.h"

// 1.5 * 2^23: adding it rounds a small number to an integer, ties to even.
#define ROUNDER 12582912.0f

// `count` elements of one head of one token, `stride` apart, then zeros up to `padded`.
typedef struct {
  size_t first;
  size_t stride;
  size_t count;
  size_t padded;
} place;

static void store_f32(float *out, const place *at, const float *x) {
  for (size_t d = 0; d < at->padded; d++) {
    out[at->first + d * at->stride] = d < at->count ? x[d] : 0.0f;
  }
}

static void store_f16(uint16_t *out, const place *at, const float *x) {
  for (size_t d = 0; d < at->padded; d++) {
    out[at->first + d * at->stride] = d < at->count ? mk_f16_from_float(x[d]) : 0;
  }
}

static void store_bf16(uint16_t *out, const place *at, const float *x) {
  for (size_t d = 0; d < at->padded; d++) {
    out[at->first + d * at->stride] = d < at->count ? mk_bf16_from_float(x[d]) : 0;
  }
}

static void store_int8(int8_t *out, float *scale, const place *at, const float *x) {
  float amax = 0.0f;
  bool finite = true;
  for (size_t d = 0; d < at->count; d++) {
    const float magnitude = fabsf(x[d]);
    finite = finite && magnitude < 0x1p100f;
    if (magnitude > amax) amax = magnitude;
  }
  const bool zero = !finite || amax < 0x1p-100f;
  const float inverse = zero ? 0.0f : 127.0f / amax;
  *scale = !finite ? NAN : zero ? 0.0f : amax / 127.0f;
  for (size_t d = 0; d < at->padded; d++) {
    const bool empty = zero || d >= at->count;
    const float rounded = empty ? 0.0f : (x[d] * inverse + ROUNDER) - ROUNDER;
    out[at->first + d * at->stride] = (int8_t)rounded;
  }
}

static void store(mk_kv_type type, void *out, float *scale, const place *at, const float *x) {
  switch (type) {
    case MK_KV_F32:
      store_f32(out, at, x);
      return;
    case MK_KV_F16:
      store_f16(out, at, x);
      return;
    case MK_KV_BF16:
      store_bf16(out, at, x);
      return;
    case MK_KV_INT8:
      store_int8(out, scale, at, x);
      return;
  }
}

void mk_kv_write(const mk_kv_layer *layer, int32_t block, size_t offset, const float *key,
                 const float *value) {
  const size_t lane = offset % MK_KEY_TILE;
  for (size_t head = 0; head < layer->kv_heads; head++) {
    const size_t first = ((size_t)block * layer->kv_heads + head) * layer->block_tokens;
    const size_t slot = first + offset;
    const place keys = {(slot - lane) * layer->head_dim + lane, MK_KEY_TILE, layer->head_dim,
                        layer->head_dim};
    const place values = {slot * layer->value_dim, 1, layer->head_dim, layer->value_dim};
    const bool scaled = layer->type == MK_KV_INT8;
    store(layer->type, layer->keys, scaled ? layer->key_scales + slot : NULL, &keys,
          key + head * layer->head_dim);
    store(layer->type, layer->values, scaled ? layer->value_scales + slot : NULL, &values,
          value + head * layer->head_dim);
  }
}
