// A small pool of compute threads for data-parallel loops.
//
// A run's pieces are shared out evenly and in order, so that from run to run a thread works on the
// same part of the data, which its caches hold. A thread takes its own pieces from the front, some
// at a time and fewer towards the end, then those of others from the back. A share is a ticket: the
// run's number, and which of its pieces are left to be taken. When none is left the caller waits for
// pieces that others have begun, not for threads: a worker that gets no processor, because other
// programs are busy, holds up what it has begun and nothing else. Waiting is in three stages: spin,
// yield, sleep. Which thread computes a piece never changes its result.
//
// Whether a piece is left is decided by a ticket alone. A late worker may hold the ticket of a run
// that is over while the next one is being published: such a ticket gives nothing, and what else is
// told of a run is read only by who has taken a piece of it.

#pragma STDC FP_CONTRACT OFF

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "CKernels.h"

#define SPINS 4000
#define YIELDS 40
// Between two offers of the processor to other threads.
#define OFFER_NS 300000

// What is left of a thread's share: the run's number in the upper half, then the first piece left and
// the one after the last. Each in cache lines of its own.
typedef struct {
  _Alignas(128) atomic_uint_least64_t ticket;
} mk_share;

// Pieces of a run: their numbers have to fit into a ticket.
#define MOST_PIECES UINT16_MAX
// Pieces taken at once: others cannot help with what is taken.
#define MOST_TAKEN 16

struct mk_thread_pool {
  size_t threads;
  size_t started;
  pthread_t *handles;
  mk_share *shares;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  pthread_cond_t done;
  atomic_bool worker_sleeps;
  atomic_bool caller_sleeps;
  atomic_bool stopping;
  // Whether the threads stand behind others of the machine.
  bool gives_way;
  // Workers that wait to be woken; guarded by the lock.
  size_t sleepers;
  // Of the run that the tickets are for; they stay as they are until all its pieces are finished, so
  // only who has taken a piece may read them.
  unsigned pieces;
  size_t count;
  size_t grain;
  mk_work work;
  void *context;
  _Alignas(128) atomic_uint finished;
};

typedef struct {
  mk_thread_pool *pool;
  size_t index;
} worker_start;

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static inline uint64_t ticket_of(unsigned run, unsigned begin, unsigned end) {
  return (uint64_t)run << 32 | begin << 16 | end;
}

static inline unsigned run_of(uint64_t ticket) { return (unsigned)(ticket >> 32); }

// Some pieces of a run.
typedef struct {
  unsigned begin, end;
} mk_pieces;

// Takes a quarter of the pieces that are left of a share of the run, from its front or its back; at
// least one if one is left. A ticket of a later run is left alone.
static bool take_pieces(mk_share *share, unsigned run, bool is_own, mk_pieces *taken) {
  uint64_t ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
  while (run_of(ticket) == run) {
    const unsigned begin = (unsigned)(ticket >> 16) & UINT16_MAX, end = ticket & UINT16_MAX;
    const unsigned quarter = (end - begin + 3) / 4;
    const unsigned count = quarter < MOST_TAKEN ? quarter : MOST_TAKEN;
    if (count == 0) return false;
    const uint64_t rest =
        is_own ? ticket_of(run, begin + count, end) : ticket_of(run, begin, end - count);
    if (atomic_compare_exchange_weak_explicit(&share->ticket, &ticket, rest, memory_order_acq_rel,
                                              memory_order_acquire)) {
      *taken = is_own ? (mk_pieces){begin, begin + count} : (mk_pieces){end - count, end};
      return true;
    }
  }
  return false;
}

// Whether others should have the processor that wait for it. A lower weight alone does not always let
// them: who has run a little more than its share of late waits for the next tick of the clock, 4 ms at
// 250 Hz.
static bool is_offer_due(const mk_thread_pool *pool) {
  static _Thread_local int64_t offered = 0;
  if (!pool->gives_way) return false;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t nanoseconds = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  if (nanoseconds - offered < OFFER_NS) return false;
  offered = nanoseconds;
  return true;
}

// Tells that some pieces of the run are done. From the last one on, the caller may publish another.
static void report(mk_thread_pool *pool, unsigned done) {
  if (done == 0) return;
  const unsigned pieces = pool->pieces;
  if (atomic_fetch_add(&pool->finished, done) + done == pieces &&
      atomic_load(&pool->caller_sleeps)) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
  }
}

// Does what it can take of the shares, its own first.
static void do_pieces(mk_thread_pool *pool, unsigned run, size_t thread) {
  unsigned done = 0;
  for (size_t i = 0; i < pool->threads; i++) {
    const size_t owner = (thread + i) % pool->threads;
    mk_pieces taken;
    while (take_pieces(&pool->shares[owner], run, owner == thread, &taken)) {
      const size_t begin = taken.begin * pool->grain, end = taken.end * pool->grain;
      pool->work(pool->context, thread, begin, end < pool->count ? end : pool->count);
      done += taken.end - taken.begin;
      if (is_offer_due(pool)) {
        // Nobody waits for a processor to be told of what is done.
        report(pool, done);
        done = 0;
        sched_yield();
      }
    }
  }
  report(pool, done);
}

// Returns the number of the run after `seen`, having waited for it.
static unsigned wait_for_run(mk_thread_pool *pool, size_t thread, unsigned seen) {
  atomic_uint_least64_t *const ticket = &pool->shares[thread].ticket;
  for (int i = 0; i < SPINS + YIELDS; i++) {
    unsigned run = run_of(atomic_load_explicit(ticket, memory_order_acquire));
    if (run != seen) return run;
    if (i < SPINS) {
      relax();
    } else {
      sched_yield();
    }
  }
  pthread_mutex_lock(&pool->lock);
  for (;;) {
    atomic_store(&pool->worker_sleeps, true);
    if (run_of(atomic_load(ticket)) != seen) break;
    pool->sleepers += 1;
    pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleepers -= 1;
  }
  pthread_mutex_unlock(&pool->lock);
  return run_of(atomic_load(ticket));
}

static void *worker(void *argument) {
  worker_start start = *(worker_start *)argument;
  free(argument);
  mk_thread_pool *pool = start.pool;
  mk_thread_name();
  unsigned seen = 0;
  for (;;) {
    seen = wait_for_run(pool, start.index, seen);
    if (atomic_load(&pool->stopping)) return NULL;
    do_pieces(pool, seen, start.index);
  }
}

// The first piece of a thread's share; the next thread's is the one after its last.
static size_t share_begin(size_t pieces, size_t thread, size_t threads) {
  return pieces * thread / threads;
}

// Publishes a run of `pieces` pieces, when those of the one before are finished. Returns its number.
static unsigned publish(mk_thread_pool *pool, unsigned pieces) {
  const uint64_t last = atomic_load_explicit(&pool->shares[0].ticket, memory_order_relaxed);
  const unsigned run = run_of(last) + 1;
  pool->pieces = pieces;
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  for (size_t thread = pool->threads; thread-- > 0;) {
    const size_t begin = share_begin(pieces, thread, pool->threads);
    const size_t end = share_begin(pieces, thread + 1, pool->threads);
    const uint64_t ticket = ticket_of(run, (unsigned)begin, (unsigned)end);
    atomic_store(&pool->shares[thread].ticket, ticket);
  }
  // Who goes to sleep after this sees the run. Sleepers are woken once, however long they take.
  if (atomic_exchange(&pool->worker_sleeps, false)) {
    pthread_mutex_lock(&pool->lock);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
  }
  return run;
}

static void wait_for_pieces(mk_thread_pool *pool, unsigned pieces) {
  for (int i = 0; i < SPINS + YIELDS; i++) {
    if (atomic_load_explicit(&pool->finished, memory_order_acquire) == pieces) return;
    if (i < SPINS) {
      relax();
    } else {
      sched_yield();
    }
  }
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->caller_sleeps, true);
  while (atomic_load(&pool->finished) != pieces) pthread_cond_wait(&pool->done, &pool->lock);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->lock);
}

mk_thread_pool *mk_thread_pool_create(size_t threads) {
  mk_thread_pool *pool = aligned_alloc(_Alignof(mk_thread_pool), sizeof *pool);
  if (pool == NULL) return NULL;
  memset(pool, 0, sizeof *pool);
  pool->threads = threads < 1 ? 1 : threads;
  pool->gives_way = getpriority(PRIO_PROCESS, 0) > 0;
  pool->handles = calloc(pool->threads, sizeof *pool->handles);
  const size_t bytes = pool->threads * sizeof *pool->shares;
  pool->shares = aligned_alloc(_Alignof(mk_share), bytes);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->done, NULL);
  if (pool->handles == NULL || pool->shares == NULL) {
    mk_thread_pool_destroy(pool);
    return NULL;
  }
  memset(pool->shares, 0, bytes);
  for (size_t index = 1; index < pool->threads; index++) {
    worker_start *start = malloc(sizeof *start);
    if (start != NULL) *start = (worker_start){pool, index};
    if (start == NULL || pthread_create(&pool->handles[index], NULL, worker, start) != 0) {
      free(start);
      mk_thread_pool_destroy(pool);
      return NULL;
    }
    pool->started += 1;
  }
  return pool;
}

void mk_thread_pool_destroy(mk_thread_pool *pool) {
  if (pool == NULL) return;
  atomic_store(&pool->stopping, true);
  if (pool->started > 0) publish(pool, 0);
  for (size_t index = 1; index <= pool->started; index++) pthread_join(pool->handles[index], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool->handles);
  free(pool->shares);
  free(pool);
}

size_t mk_thread_pool_sleepers(mk_thread_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  const size_t sleepers = pool->sleepers;
  pthread_mutex_unlock(&pool->lock);
  return sleepers;
}

// Pieces of a run, whose grain grows where they would be too many.
static unsigned cut(size_t count, size_t *grain) {
  while ((count - 1) / *grain >= MOST_PIECES) *grain *= 2;
  return (unsigned)((count - 1) / *grain + 1);
}

size_t mk_thread_share(size_t threads, size_t count, size_t grain, size_t thread) {
  if (grain < 1) grain = 1;
  // The caller does it alone.
  if (count <= grain) return thread == 0 ? 0 : count;
  const size_t begin = share_begin(cut(count, &grain), thread, threads) * grain;
  return begin < count ? begin : count;
}

void mk_thread_pool_run(mk_thread_pool *pool, size_t count, size_t grain, mk_work work,
                        void *context) {
  if (grain < 1) grain = 1;
  if (pool->started == 0 || count <= grain) {
    if (count > 0) work(context, 0, 0, count);
    if (is_offer_due(pool)) sched_yield();
    return;
  }
  const unsigned pieces = cut(count, &grain);
  pool->count = count;
  pool->grain = grain;
  pool->work = work;
  pool->context = context;
  const unsigned run = publish(pool, pieces);
  do_pieces(pool, run, 0);
  wait_for_pieces(pool, pieces);
}
