// A small pool of compute threads for data-parallel loops.
//
// A run is published by raising `epoch`; workers and caller then take pieces from a shared counter
// until none is left. Waiting is in three stages: spin, yield, sleep. Which thread computes a piece
// never changes its result.

#pragma STDC FP_CONTRACT OFF

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "CKernels.h"

#define SPINS 4000
#define YIELDS 40

struct mk_thread_pool {
  size_t threads;
  size_t started;
  pthread_t *handles;
  pthread_mutex_t lock;
  pthread_cond_t wake;
  pthread_cond_t done;
  atomic_uint epoch;
  atomic_size_t next;
  atomic_size_t running;
  atomic_uint sleepers;
  atomic_bool caller_sleeps;
  atomic_bool stopping;
  size_t count;
  size_t grain;
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

static void take_pieces(mk_thread_pool *pool, size_t thread) {
  for (;;) {
    size_t begin = atomic_fetch_add_explicit(&pool->next, pool->grain, memory_order_relaxed);
    if (begin >= pool->count) return;
    size_t left = pool->count - begin;
    pool->work(pool->context, thread, begin, begin + (left < pool->grain ? left : pool->grain));
  }
}

// Returns the epoch after `seen`, having waited for it.
static unsigned wait_for_work(mk_thread_pool *pool, unsigned seen) {
  for (int i = 0; i < SPINS + YIELDS; i++) {
    unsigned epoch = atomic_load_explicit(&pool->epoch, memory_order_acquire);
    if (epoch != seen) return epoch;
    if (i < SPINS) {
      relax();
    } else {
      sched_yield();
    }
  }
  pthread_mutex_lock(&pool->lock);
  atomic_fetch_add(&pool->sleepers, 1);
  while (atomic_load(&pool->epoch) == seen) pthread_cond_wait(&pool->wake, &pool->lock);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->lock);
  return atomic_load(&pool->epoch);
}

static void *worker(void *argument) {
  worker_start start = *(worker_start *)argument;
  free(argument);
  mk_thread_pool *pool = start.pool;
  unsigned seen = 0;
  for (;;) {
    seen = wait_for_work(pool, seen);
    if (atomic_load(&pool->stopping)) return NULL;
    take_pieces(pool, start.index);
    if (atomic_fetch_sub(&pool->running, 1) == 1 && atomic_load(&pool->caller_sleeps)) {
      pthread_mutex_lock(&pool->lock);
      pthread_cond_signal(&pool->done);
      pthread_mutex_unlock(&pool->lock);
    }
  }
}

static void publish(mk_thread_pool *pool) {
  atomic_fetch_add(&pool->epoch, 1);
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->lock);
  pthread_cond_broadcast(&pool->wake);
  pthread_mutex_unlock(&pool->lock);
}

static void wait_for_workers(mk_thread_pool *pool) {
  for (int i = 0; i < SPINS + YIELDS; i++) {
    if (atomic_load_explicit(&pool->running, memory_order_acquire) == 0) return;
    if (i < SPINS) {
      relax();
    } else {
      sched_yield();
    }
  }
  pthread_mutex_lock(&pool->lock);
  atomic_store(&pool->caller_sleeps, true);
  while (atomic_load(&pool->running) != 0) pthread_cond_wait(&pool->done, &pool->lock);
  atomic_store(&pool->caller_sleeps, false);
  pthread_mutex_unlock(&pool->lock);
}

mk_thread_pool *mk_thread_pool_create(size_t threads) {
  mk_thread_pool *pool = calloc(1, sizeof *pool);
  if (pool == NULL) return NULL;
  pool->threads = threads < 1 ? 1 : threads;
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
  publish(pool);
  for (size_t index = 1; index <= pool->started; index++) pthread_join(pool->handles[index], NULL);
  pthread_cond_destroy(&pool->done);
  pthread_cond_destroy(&pool->wake);
  pthread_mutex_destroy(&pool->lock);
  free(pool->handles);
  free(pool);
}

void mk_thread_pool_run(mk_thread_pool *pool, size_t count, size_t grain, mk_work work,
                        void *context) {
  if (grain < 1) grain = 1;
  if (pool->started == 0 || count <= grain) {
    if (count > 0) work(context, 0, 0, count);
    return;
  }
  pool->count = count;
  pool->grain = grain;
  pool->work = work;
  pool->context = context;
  atomic_store(&pool->next, 0);
  atomic_store(&pool->running, pool->started);
  publish(pool);
  take_pieces(pool, 0);
  wait_for_workers(pool);
}
