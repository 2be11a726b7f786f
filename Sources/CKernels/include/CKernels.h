/* Compute kernels of Millrace.
 *
 * Every op exists as plain C (`scalar`, the reference), AVX2 and AVX-512, one file each, and all
 * of them give the same bits: the order of the arithmetic is part of an op's definition and is
 * told beside its declaration. No file lets the compiler contract a multiply and an add; where
 * an op fuses, it says fma.
 *
 * Conventions: all matrices are row-major, activations are [tokens][columns]; `path` must be one
 * that mk_path_supported allows; pointers are valid and do not alias unless told so; no kernel
 * allocates.
 */
#ifndef MILLRACE_CKERNELS_H
#define MILLRACE_CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
  MK_PATH_SCALAR = 0,
  MK_PATH_AVX2 = 1,
  MK_PATH_AVX512 = 2,
} mk_path;

/* Whether this machine can run the path. */
bool mk_path_supported(mk_path path);

/* Rows that lie side by side in a packed weight matrix, one vector lane each. */
#define MK_ROW_GROUP 16
/* Values that share a scale in quantized weights and activations. */
#define MK_BLOCK 32
/* Keys that attention takes at a time, one vector lane each. */
#define MK_KEY_TILE 16
/* Keys after which attention starts a new partition; partitions are merged in order. */
#define MK_KEY_PARTITION 512

/* ---- Activation quantization ----------------------------------------------------------------- */

/* One row of n floats (n a multiple of 32) into blocks of 32: quant = round-half-even(x * (127 /
 * amax)), within +-127; scale = amax / 127; sum = the sum of the block's quants. A block whose
 * largest magnitude is under 2^-100 becomes zeros; one that holds an infinity or a NaN becomes
 * zeros with a NaN scale, so that it is noticed in the logits.
 */
void mk_quantize_row(mk_path path, const float *x, size_t n, int8_t *quants, float *scales,
                     int32_t *sums);

/* ---- Packed weights -------------------------------------------------------------------------- */

/* A weight matrix of `rows` x `columns`, repacked in groups of 16 rows; rows past the last are
 * zeros.
 *
 *   q8_0: `values` [group][block][column / 4 of block: 8][row: 16][column % 4: 4] bytes, each
 *     the quant + 128;
 *     `scales` [group][block][row: 16] IEEE half floats.
 *   f32, f16, bf16: `values` [group][column][row: 16] of the type; no scales.
 */
typedef enum {
  MK_WEIGHT_F32 = 0,
  MK_WEIGHT_F16 = 1,
  MK_WEIGHT_BF16 = 2,
  MK_WEIGHT_Q8_0 = 3,
} mk_weight_type;

typedef struct {
  mk_weight_type type;
  size_t rows;
  size_t columns;
  const void *values;
  const uint16_t *scales;
} mk_matrix;

/* Bytes that `values` and `scales` need. */
size_t mk_packed_value_bytes(mk_weight_type type, size_t rows, size_t columns);
size_t mk_packed_scale_bytes(mk_weight_type type, size_t rows, size_t columns);

/* Packs groups [group_begin, group_end) from the row-major bytes of a GGUF tensor (q8_0: blocks
 * of a half-float scale and 32 signed bytes).
 */
void mk_pack(mk_weight_type type, size_t rows, size_t columns, const void *source,
             size_t group_begin, size_t group_end, void *values, uint16_t *scales);

/* One row of a GGUF tensor, unpacked, as floats: exact for f32, f16, bf16; quant * scale for
 * q8_0.
 */
void mk_dequantize_row(mk_weight_type type, const void *row, size_t columns, float *out);

/* ---- Matrix multiplication ------------------------------------------------------------------- */

/* The activations of a matmul: quantized rows for q8_0 weights, float rows for the others. */
typedef struct {
  size_t tokens;
  const float *values;     /* [tokens][columns], float weights only */
  const int8_t *quants;    /* [tokens][columns], q8_0 only */
  const float *scales;     /* [tokens][columns / 32], q8_0 only */
  const int32_t *sums;     /* [tokens][columns / 32], q8_0 only */
} mk_activations;

/* out[token * out_stride + row] for the rows of groups [group_begin, group_end).
 *
 * Each element is one chain. q8_0, over the blocks of its row in order:
 *   acc = fma(float(weight scale) * activation scale, (float)(integer dot product), acc), from 0;
 * float weights, over the columns in order: acc = fma(float(weight), activation, acc), from 0. */
void mk_matmul(mk_path path, const mk_matrix *weights, const mk_activations *x, size_t group_begin,
               size_t group_end, float *out, size_t out_stride);

/* ---- Row operations -------------------------------------------------------------------------- */

/* out = (x * (1 / sqrt(mean(x^2) + epsilon))) * weight. The sum of squares runs in 16 lanes,
 * lane i % 16 by fma in order of i, then lanes are added pairwise at distances 8, 4, 2, 1. out
 * may be x.
 */
void mk_rms_norm(mk_path path, const float *x, const float *weight, size_t n, float epsilon,
                 float *out);

/* gate[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i], with the exp below. */
void mk_swiglu(mk_path path, float *gate, const float *up, size_t n);

/* x[i] += y[i] */
void mk_add(mk_path path, float *x, const float *y, size_t n);

/* out[i] = exp(x[i]), by a polynomial of our own: within 2 units in the last place of the true
 * value for x in [-87.33, 88.37]; 0 below, the value at 88.37 above; exactly 1 at 0; NaN for
 * NaN.
 */
void mk_exp(mk_path path, const float *x, size_t n, float *out);

/* Sum of exp(x[i] - shift) in double precision: 16 lanes, lane i % 16 in order of i, then the
 * tree of mk_rms_norm.
 */
double mk_sum_exp(mk_path path, const float *x, size_t n, float shift);

/* Index of the largest of n > 0 values, the lowest among equals; -1 if any value is a NaN or an
 * infinity.
 */
int64_t mk_argmax(mk_path path, const float *x, size_t n);

/* ---- Attention ------------------------------------------------------------------------------- */

/* Where the keys and values of one layer are. The cache of a layer is a run of blocks of
 * `block_tokens` tokens (a multiple of 16); within a block, keys are [kv head][tile of 16
 * tokens][dimension][token of tile: 16] and values are [kv head][token][dimension padded to a
 * multiple of 16].
 */
typedef struct {
  float *keys;
  float *values;
  size_t block_tokens;
  size_t kv_heads;
  size_t head_dim;
  size_t value_dim; /* head_dim rounded up to a multiple of 16 */
} mk_kv_layer;

/* Writes the key and value of all kv heads of one token, each [kv head][head_dim], at `offset`
 * of `block`.
 */
void mk_kv_write(const mk_kv_layer *layer, int32_t block, size_t offset, const float *key,
                 const float *value);

/* Attention of `group` query heads that share one kv head, for one token that sees the first
 * `length` > 0 keys. queries and out: [group][head_dim]; scratch: at least mk_attention_scratch
 * floats.
 *
 * A score is one chain over the dimensions, times `scale`. Keys are taken in tiles of 16 with an
 * online softmax: m' = max(m, tile maximum), c = exp(m - m'), p = exp(score - m'), sum lanes =
 * fma(sum lanes, c, p), acc = acc * c, then acc = fma(p, value, acc) key by key. Every 512 keys
 * a new partition starts from nothing; partitions are merged in order, and lanes of the sum are
 * added by the tree of mk_rms_norm.
 */
void mk_attention(mk_path path, const mk_kv_layer *layer, const int32_t *block_table, size_t length,
                  size_t kv_head, size_t group, float scale, const float *queries, float *out,
                  float *scratch);
size_t mk_attention_scratch(size_t group, size_t value_dim);

/* Rotates pairs (x[2i], x[2i+1]), i < pairs, of each of `heads` heads of `head_dim` floats:
 *   x0' = fma(x0, c, -(x1 * s)), x1' = fma(x0, s, x1 * c) with c = cosines[i], s = sines[i]. */
void mk_rope(mk_path path, const float *cosines, const float *sines, size_t pairs, float *x,
             size_t heads, size_t head_dim);

/* Cosines and sines of position * frequency[i], i < pairs, each [positions][pairs]; computed in
 * double precision by polynomials of our own (so that they are the same everywhere), then
 * rounded.
 */
void mk_rope_table(size_t first_position, size_t positions, const double *frequencies, size_t pairs,
                   float *cosines, float *sines);

/* exp and natural logarithm in double precision, the same on every machine; relative error under
 * 1e-14. For x out of the range of normal results exp gives 0 or the largest finite value; log
 * wants a positive normal number.
 */
double mk_exp_double(double x);
double mk_log_double(double x);

/* ---- Threads --------------------------------------------------------------------------------- */

typedef struct mk_thread_pool mk_thread_pool;

/* Work on items [begin, end); `thread` is in 0 ..< threads and is the index of scratch space to
 * use.
 */
typedef void (*mk_work)(void *context, size_t thread, size_t begin, size_t end);

/* A pool of `threads` threads, the caller's included (so 1 starts none). NULL if threads cannot
 * be started.
 */
mk_thread_pool *mk_thread_pool_create(size_t threads);
void mk_thread_pool_destroy(mk_thread_pool *pool);
/* Runs `work` over [0, count) in pieces of `grain`, and returns when all are done. One caller at
 * a time.
 */
void mk_thread_pool_run(mk_thread_pool *pool, size_t count, size_t grain, mk_work work,
                        void *context);

#endif
