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
/* Keys that lie side by side in the cache, one vector lane each. */
#define MK_KEY_TILE 16
/* Keys that attention's online softmax takes at a time. */
#define MK_KEY_STEP 64
/* Tokens that one call of mk_attention can take. */
#define MK_QUERY_TOKENS 16
/* Keys after which attention starts a new partition; partitions are merged in order. */
#define MK_KEY_PARTITION 512

/* ---- Activation quantization ----------------------------------------------------------------- */

/* 32 activations of one token, in one cache line, with what each weight type wants to know of them.
 * A quant stands for row_scale * (scale * quant): row_scale is that of the whole row, its
 * largest magnitude / 127; scale is the smallest power of two, from 2^-20 to 1, with which the
 * block's largest stays within 127; quant = round-half-even(x * ((127 / the row's largest) /
 * scale)). The rest follows from these.
 *
 * M is 1.5 * 2^23. A matmul starts an integer dot product of unsigned weights at the bits of
 * scale * M less the zero point's share; what comes out are the bits of scale * (M + dot), so that
 * taking scale * M away leaves scale * dot, exactly: bringing in the scale costs nothing.
 */
typedef struct {
  int8_t quants[32];
  float scale;
  float magic;         /* M * scale */
  float scaled_sum;    /* scale * (sum of the quants) */
  int32_t start_q8;    /* bits of M * scale, less 128 * (sum of the quants) */
  int32_t start_q4;    /* bits of M * scale, less 8 * (sum of the quants) */
  int32_t start_q6[2]; /* bits of M * scale, less 32 * (sum of each half of the quants) */
  float row_scale;     /* the same in all blocks of a row */
} mk_block;

/* Blocks from one token's first to the next one's, for rows of `columns`, a multiple of 32: an odd
 * number, so that the rows of a tile do not meet in the same sets of a cache.
 */
size_t mk_block_stride(size_t columns);

/* One row of n floats (n a multiple of 32) into n / 32 blocks. A row whose largest magnitude is
 * under 2^-100 becomes zeros; one that holds a magnitude of 2^100 or more, an infinity or a NaN
 * becomes zeros with a NaN row_scale, so that it is noticed in the logits.
 */
void mk_quantize_row(mk_path path, const float *x, size_t n, mk_block *blocks);

/* ---- Packed weights -------------------------------------------------------------------------- */

/* Types as GGUF files hold them (formats of ggml, ggml-common.h). Quantized weights stand for
 *   q8_0: scale * q, q in -128...127           a half-float scale for 32 values
 *   q5_0: scale * (q - 16), q in 0..<32        the same
 *   q4_0: scale * (q - 8), q in 0..<16         the same
 *   q4_K: (scale * s) * q - (min * m), q in 0..<16, s and m in 0..<64 for 32 values; half-float
 *     scale and min for 256
 *   q6_K: (scale * s) * (q - 32), q in 0..<64, s in -128...127 for 16 values; a half-float scale
 *     for 256
 */
typedef enum {
  MK_WEIGHT_F32 = 0,
  MK_WEIGHT_F16 = 1,
  MK_WEIGHT_BF16 = 2,
  MK_WEIGHT_Q8_0 = 3,
  MK_WEIGHT_Q5_0 = 4,
  MK_WEIGHT_Q4_0 = 5,
  MK_WEIGHT_Q4_K = 6,
  MK_WEIGHT_Q6_K = 7,
} mk_weight_type;

/* A weight matrix of `rows` x `columns`, repacked in groups of 16 rows; rows past the last are
 * zeros.
 *
 *   q8_0, q5_0: `values` [group][block of 32][column / 4 of block: 8][row: 16][column % 4: 4]
 *     bytes, each the quant + 128 (of q5_0: the quant less its 16, then + 128);
 *     `scales` [group][block][row: 16] half floats.
 *   q6_K: `values` likewise, each byte the quant;
 *     `scales` [group][block of 256] of half floats [row: 16], then signed bytes
 *     [column / 16: 16][row: 16].
 *   q4_0: `values` [group][block of 32][column / 8: 4][row: 16][column % 4: 4] bytes, the low half
 *     the quant of the first four of eight columns, the high half that of the other four;
 *     `scales` as q8_0.
 *   q4_K: `values` as q4_0;
 *     `scales` [group][block of 256] of half floats scale [row: 16] and min [row: 16], then bytes
 *     [column / 32: 8][row: 16], the low four bits of s in the low half and of m in the high half,
 *     and [column / 64: 4][row: 16], the high two bits of s and above them of m, for the first 32
 *     columns in the low half and for the others in the high half.
 *   f32, f16, bf16: `values` [group][column][row: 16] of the type; no scales.
 */
typedef struct {
  mk_weight_type type;
  size_t rows;
  size_t columns;
  const void *values;
  const void *scales;
} mk_matrix;

/* Bytes that `values` and `scales` need. */
size_t mk_packed_value_bytes(mk_weight_type type, size_t rows, size_t columns);
size_t mk_packed_scale_bytes(mk_weight_type type, size_t rows, size_t columns);

/* Packs groups [group_begin, group_end) from the row-major bytes of a GGUF tensor. */
void mk_pack(mk_weight_type type, size_t rows, size_t columns, const void *source,
             size_t group_begin, size_t group_end, void *values, void *scales);

/* One row of a GGUF tensor, unpacked, as floats: exact for f32, f16, bf16; by the formulas above,
 * each operation rounded, for the others.
 */
void mk_dequantize_row(mk_weight_type type, const void *row, size_t columns, float *out);

/* ---- Matrix multiplication ------------------------------------------------------------------- */

/* The activations of a matmul: blocks for quantized weights, float rows for the others. */
typedef struct {
  size_t tokens;
  const float *values;    /* [tokens][columns] */
  const mk_block *blocks; /* [tokens][mk_block_stride(columns)] */
} mk_activations;

/* Row groups from which a thread will go on when a product is done. */
typedef struct {
  const mk_matrix *weights;
  size_t group;
} mk_ahead;

/* out[token * out_stride + row] for the rows of groups [group_begin, group_end). The first weights of
 * `ahead`, unless it is NULL, may be fetched into the processor's caches meanwhile.
 *
 * Each element is one chain, from 0. Quantized weights, over the blocks of 32 of its row in order:
 *   acc = fma(weight scale, block scale * (float)(integer dot product), acc),
 * for q4_K then acc = fma(-(min * m), scaled_sum, acc); q6_K has two steps, of 16 columns each; at
 * the end acc * row_scale. The weight scale of the K-quants is scale * s. Float weights, over the
 * columns in order:
 *   acc = fma(float(weight), activation, acc). */
void mk_matmul(mk_path path, const mk_matrix *weights, const mk_activations *x, size_t group_begin,
               size_t group_end, const mk_ahead *ahead, float *out, size_t out_stride);

/* ---- Row operations -------------------------------------------------------------------------- */

/* out = (x * (1 / sqrt(mean(x^2) + epsilon))) * weight. The sum of squares runs in 16 lanes,
 * lane i % 16 by fma in order of i, then lanes are added pairwise at distances 8, 4, 2, 1. out
 * may be x.
 */
void mk_rms_norm(mk_path path, const float *x, const float *weight, size_t n, float epsilon,
                 float *out);

/* gate[i] = (gate[i] / (1 + exp(-gate[i]))) * up[i], with the exp below. */
void mk_swiglu(mk_path path, float *gate, const float *up, size_t n);

/* x[i] += y[i] for the first n of each of `rows` rows, `stride` floats apart. */
void mk_add(mk_path path, float *x, const float *y, size_t rows, size_t stride, size_t n);

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

/* How keys and values are stored. f16 and bf16 are rounded to the nearest, ties to even; beyond
 * their range they become infinities. int8 is round-half-even(x * (127 / amax)) with the scale
 * amax / 127, over the dimensions of one head of one token; a head that holds a magnitude of 2^100
 * or more, an infinity or a NaN gets a NaN scale, and one whose largest is under 2^-100 becomes
 * zeros.
 */
typedef enum {
  MK_KV_F32 = 0,
  MK_KV_F16 = 1,
  MK_KV_BF16 = 2,
  MK_KV_INT8 = 3,
} mk_kv_type;

/* Where the keys and values of one layer are. The cache of a layer is a run of blocks of
 * `block_tokens` tokens (a multiple of 16); within a block, keys are [kv head][tile of 16
 * tokens][dimension][token of tile: 16] and values are [kv head][token][dimension padded to a
 * multiple of 16], scales (of int8 only) [kv head][token].
 */
typedef struct {
  mk_kv_type type;
  void *keys;
  void *values;
  float *key_scales;
  float *value_scales;
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

/* A run of tokens of one sequence, at most MK_QUERY_TOKENS, for which attention is computed
 * together.
 */
typedef struct {
  const int32_t *block_table;
  size_t tokens;
  size_t length; /* keys up to the first token's own, > 0; each next one has one more */
  size_t window; /* how many of the last of them a token sees, its own included; 0 for all */
  size_t sinks;  /* how many of the first it sees whatever the window, at most MK_KEY_STEP */
  size_t kv_head;
  size_t group;  /* query heads that share the kv head */
  float scale;
  size_t stride; /* floats from one token's queries, and results, to the next one's */
} mk_attention_run;

/* Attention of the query heads of one kv head; queries and out: [token][head of group][head_dim],
 * tokens `stride` apart; scratch: at least mk_attention_scratch floats.
 *
 * What a query gets does not depend on the others of the run. A score is one chain over the
 * dimensions, times `scale`. Keys are taken in steps of 64 with an online softmax: m' = max(m,
 * largest score), c = exp(m - m'), p = exp(score - m'); 16 lanes of the sum: lanes = fma(lanes, c,
 * p of keys 0 to 15), then the p of each further 16 keys are added in order; acc = acc * c, then
 * acc = fma(p, value, acc) key by key. Every 512 keys a new partition starts from nothing;
 * partitions are merged in order, and lanes of the sum are added by the tree of mk_rms_norm.
 * With a window, the keys before it that are no sinks have the weight 0, and steps of nothing but
 * those are left out, their blocks not looked at. Sources: sliding windows as in Longformer (Beltagy
 * and others, 2020), sinks as in StreamingLLM (Xiao and others, 2023).
 * Keys and values that are not stored as f32 are brought to it first, exactly; int8 by one
 * product, quant * scale. Source: FlashAttention (Dao and others, 2022), for the softmax.
 */
void mk_attention(mk_path path, const mk_kv_layer *layer, const mk_attention_run *run,
                  const float *queries, float *out, float *scratch);
size_t mk_attention_scratch(size_t group, size_t value_dim);

/* Rotates pairs (x[2i], x[2i+1]), i < pairs, of each of `heads` heads of `head_dim` floats:
 *   x0' = fma(x0, c, -(x1 * s)), x1' = fma(x0, s, x1 * c) with c = cosines[i], s = sines[i]. */
void mk_rope(mk_path path, const float *cosines, const float *sines, size_t pairs, float *x,
             size_t heads, size_t head_dim);

/* Cosines and sines of position * frequency[i], i < pairs, each [positions][pairs]; computed in
 * double precision by polynomials of our own (so that they are the same everywhere), then
 * rounded. Angles must be under 2^51, so that the quarter turns in them can be counted exactly;
 * models stay far below: 2^24 positions times a frequency of at most 1, times at most 2^10 for a
 * linear factor and 2^10 for a pair's own.
 */
void mk_rope_table(size_t first_position, size_t positions, const double *frequencies, size_t pairs,
                   float *cosines, float *sines);

/* exp and natural logarithm in double precision, the same on every machine; relative error under
 * 1e-14. For x out of the range of normal results exp gives 0 or the largest finite value; log
 * wants a positive normal number.
 */
double mk_exp_double(double x);
double mk_log_double(double x);

/* ---- What the machine can do ------------------------------------------------------------------ */

/* Reads `count` bytes, a multiple of 256, as fast as the path's loads can, and sums them up so that
 * they must be read.
 */
uint64_t mk_probe_read(mk_path path, const void *bytes, size_t count);

/* Multiplies and adds MK_PROBE_MACS pairs of bytes a round, from registers, with the instructions
 * that the path's quantized kernels use.
 */
#define MK_PROBE_MACS 1024
int32_t mk_probe_multiply(mk_path path, size_t rounds);

/* ---- Threads --------------------------------------------------------------------------------- */

typedef struct mk_thread_pool mk_thread_pool;

/* Work on items [begin, end); `thread` is in 0 ..< threads and is the index of scratch space to
 * use.
 */
typedef void (*mk_work)(void *context, size_t thread, size_t begin, size_t end);

/* Names the calling thread `millrace-engine`, as those of pools are, for who looks at the process. */
void mk_thread_name(void);

/* Lets the calling thread, and those that it starts from now on, give way to others: a niceness of 0
 * to 19, unless it has a higher one, and time slices of `slice_ns` where the system allows for it.
 * Does nothing under another scheduling policy than the usual. 0, or an errno. */
int mk_thread_give_way(int niceness, uint64_t slice_ns);

/* A pool of `threads` threads, the caller's included (so 1 starts none). NULL if threads cannot
 * be started.
 */
mk_thread_pool *mk_thread_pool_create(size_t threads);
void mk_thread_pool_destroy(mk_thread_pool *pool);
/* Threads of the pool that sleep and must be woken for the next run. */
size_t mk_thread_pool_sleepers(mk_thread_pool *pool);
/* Where the share of one of some threads of a run over [0, count) begins; the next thread's is where it
 * ends, and `count` that of a thread behind the last. A count of no more than `grain` is the first's.
 */
size_t mk_thread_share(size_t threads, size_t count, size_t grain, size_t thread);
/* Runs `work` over [0, count), on ranges that begin at multiples of `grain`, and returns when all is
 * done. Each thread begins with its share, in the order of the threads: the same for the same count
 * and grain. One caller at a time.
 */
void mk_thread_pool_run(mk_thread_pool *pool, size_t count, size_t grain, mk_work work,
                        void *context);

#endif
