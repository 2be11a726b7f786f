// A small pool of compute threads for data-parallel loops.
//
// A run is published as a ticket: its number, and how many of its pieces are left to be taken.
// Caller and workers take pieces until none is left; the caller then waits for pieces that others
// have begun, not for threads. So a worker that gets no processor, because other programs are busy,
// holds nobody up. Waiting is in three stages: spin, yield, sleep. Which thread computes a piece
// never changes its result.
//
// Whether a piece is left is decided by the ticket alone. A late worker may hold the ticket of a
// run that is over while the next one is being published: what it read beside the ticket could be
// of either run, but a ticket that has come down to 0 gives nothing, whatever else is read.

#pragma STDC FP_CONTRACT OFF

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "CKernels.h"

#define SPINS 4000
#define YIELDS 40
// Between two offers of the processor to other threads.
#define OFFER_NS 300000

struct mk_thread_pool {
  size_t threads;
  size_t started;
  pthread_t *handles;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  pthread_cond_t done;
  // The run's number in the upper half, the pieces left to be taken in the lower half.
  atomic_uint_least64_t ticket;
  atomic_uint finished;
  atomic_bool worker_sleeps;
  atomic_bool caller_sleeps;
  atomic_bool stopping;
  // Whether the threads stand behind others of the machine.
  bool gives_way;
  // Workers that wait to be woken; guarded by the lock.
  size_t sleepers;
  // Of the run that the ticket is for; they stay as they are until all its pieces are finished, so
  // only who has taken a piece may read them.
  unsigned pieces;
  size_t count;
  size_t coarse; // pieces of `grain`, before those of `fine`
  size_t grain;
  size_t fine;
  mk_work work;
  void *context;
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

static inline unsigned run_of(uint64_t ticket) { return (unsigned)(ticket >> 32); }

// Takes a piece of the run if one is left. A ticket of a later run is left alone.
static bool take_piece(mk_thread_pool *pool, unsigned run, unsigned *piece) {
  uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
  while (run_of(ticket) == run) {
    const unsigned left = (unsigned)ticket;
    if (left == 0) return false;
    if (atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1,
                                              memory_order_acq_rel, memory_order_acquire)) {
      *piece = pool->pieces - left;
      return true;
    }
  }
  return false;
}

// Lets others have the processor that wait for it. A lower weight alone does not always let them: who
// has run a little more than its share of late waits for the next tick of the clock, 4 ms at 250 Hz.
static void offer_processor(void) {
  static _Thread_local int64_t offered = 0;
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t nanoseconds = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
  if (nanoseconds - offered < OFFER_NS) return;
  offered = nanoseconds;
  sched_yield();
}

static void do_pieces(mk_thread_pool *pool, unsigned run, size_t thread) {
  unsigned piece;
  while (take_piece(pool, run, &piece)) {
    const unsigned pieces = pool->pieces;
    const bool is_coarse = piece < pool->coarse;
    const size_t grain = is_coarse ? pool->grain : pool->fine;
    const size_t begin = is_coarse ? piece * grain
                                   : pool->coarse * pool->grain + (piece - pool->coarse) * grain;
    const size_t left = pool->count - begin;
    pool->work(pool->context, thread, begin, begin + (left < grain ? left : grain));
    // From the last piece on, the caller may publish another run.
    if (atomic_fetch_add(&pool->finished, 1) + 1 == pieces && atomic_load(&pool->caller_sleeps)) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
    if (pool->gives_way) offer_processor();
  }
}

// Returns the number of the run after `seen`, having waited for it.
static unsigned wait_for_run(mk_thread_pool *pool, unsigned seen) {
  for (int i = 0; i < SPINS + YIELDS; i++) {
    unsigned run = run_of(atomic_load_explicit(&pool->ticket, memory_order_acquire));
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
    if (run_of(atomic_load(&pool->ticket)) != seen) break;
    pool->sleepers += 1;
    pthread_cond_wait(&pool->wake, &pool->lock);
    pool->sleepers -= 1;
  }
  pthread_mutex_unlock(&pool->lock);
  return run_of(atomic_load(&pool->ticket));
}

static void *worker(void *argument) {
  worker_start start = *(worker_start *)argument;
  free(argument);
  mk_thread_pool *pool = start.pool;
  mk_thread_name();
  unsigned seen = 0;
  for (;;) {
    seen = wait_for_run(pool, seen);
    if (atomic_load(&pool->stopping)) return NULL;
    do_pieces(pool, seen, start.index);
  }
}

// Publishes a run of `pieces` pieces, when those of the one before are finished. Returns its number.
static unsigned publish(mk_thread_pool *pool, unsigned pieces) {
  const unsigned run = run_of(atomic_load_explicit(&pool->ticket, memory_order_relaxed)) + 1;
  pool->pieces = pieces;
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  atomic_store(&pool->ticket, (uint64_t)run << 32 | pieces);
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
  mk_thread_pool *pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pool->threads = threads < 1 ? 1 : threads;
  pool->gives_way = getpriority(PRIO_PROCESS, 0) > 0;
  pool->handles = calloc(pool->threads, sizeof *pool->handles);
  pthread_mutex_init(&pool->lock, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pthread_cond_init(&pool->done, NULL);
  if (pool->handles == NULL) {
    mk_thread_pool_destroy(pool);
    return NULL;
  }
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
  publish(pool, 0);
  for (size_t index = 1; index <= pool->started; index++) pthread_join(pool->handles[index], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool->handles);
  free(pool);
}

size_t mk_thread_pool_sleepers(mk_thread_pool *pool) {
  pthread_mutex_lock(&pool->lock);
  const size_t sleepers = pool->sleepers;
  pthread_mutex_unlock(&pool->lock);
  return sleepers;
}

void mk_thread_pool_run(mk_thread_pool *pool, size_t count, size_t grain, size_t fine, mk_work work,
                        void *context) {
  if (fine < 1) fine = 1;
  if (grain < fine) grain = fine;
  if (pool->started == 0 || count <= fine) {
    if (count > 0) work(context, 0, 0, count);
    if (pool->gives_way) offer_processor();
    return;
  }
  // So many pieces that their number fits; a worker must not read these before it has taken one.
  while (count / fine >= UINT32_MAX) fine *= 2;
  if (grain < fine) grain = fine;
  // When the coarse pieces are all taken, threads are up to one of them apart.
  const size_t coarse = count / grain > pool->threads ? count / grain - pool->threads : 0;
  const size_t rest = count - coarse * grain;
  const unsigned pieces = (unsigned)(coarse + rest / fine + (rest % fine != 0));
  pool->count = count;
  pool->coarse = coarse;
  pool->grain = grain;
  pool->fine = fine;
  pool->work = work;
  pool->context = context;
  const unsigned run = publish(pool, pieces);
  do_pieces(pool, run, 0);
  wait_for_pieces(pool, pieces);
}
