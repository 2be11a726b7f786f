// How far the first two processors are from each other: how long a cache line takes from one to the
// other, and how fast one reads what the other has just written. On a virtual machine both change
// while it runs. Needs two processors and Linux.
//
//   cc -O2 -pthread Benchmarks/engine/distance.c -o distance && ./distance

#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define TURNS 20000
#define TRANSFERS 200
#define BYTES 65536

static _Alignas(128) atomic_int turn;
static _Alignas(128) char data[BYTES];

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void stay_on(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static void wait_for(int value) {
  while (atomic_load_explicit(&turn, memory_order_acquire) != value) {
  }
}

static void give(int value) { atomic_store_explicit(&turn, value, memory_order_release); }

static void *answer(void *unused) {
  stay_on(1);
  for (int i = 0; i < TURNS + TRANSFERS; i++) {
    wait_for(2 * i + 1);
    if (i >= TURNS) memset(data, i, BYTES);
    give(2 * i + 2);
  }
  return unused;
}

int main(void) {
  stay_on(0);
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer, NULL) != 0) {
    perror("no thread");
    return 1;
  }
  const double start = now();
  for (int i = 0; i < TURNS; i++) {
    give(2 * i + 1);
    wait_for(2 * i + 2);
  }
  const double turns = now() - start;
  double reading = 0;
  for (int i = TURNS; i < TURNS + TRANSFERS; i++) {
    give(2 * i + 1);
    wait_for(2 * i + 2);
    const double before = now();
    for (size_t at = 0; at < BYTES; at += 64) (void)*(volatile long *)(data + at);
    reading += now() - before;
  }
  pthread_join(thread, NULL);
  printf("a cache line takes %.0f ns, many come with %.1f GB/s\n", turns / TURNS / 2 * 1e9,
         (double)TRANSFERS * BYTES / reading / 1e9);
}
