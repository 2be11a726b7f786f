#define _GNU_SOURCE
#include "cgrpc_thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct cgrpc_thread_body {
  pthread_t thread;
};

struct start {
  cgrpc_thread_main run;
  cgrpc_tag tag;
  char name[16];
};

static void *begin(void *argument) {
  struct start start = *(struct start *)argument;
  free(argument);
#if defined(__linux__)
  pthread_setname_np(pthread_self(), start.name);
#endif
  start.run(start.tag);
  return NULL;
}

cgrpc_thread cgrpc_thread_start(
    const char *name, size_t stack_bytes, cgrpc_thread_main run, cgrpc_tag tag) {
  cgrpc_thread thread = {NULL};
  struct cgrpc_thread_body *body = calloc(1, sizeof *body);
  struct start *start = calloc(1, sizeof *start);
  if (body == NULL || start == NULL) {
    free(body);
    free(start);
    return thread;
  }
  start->run = run;
  start->tag = tag;
  strncpy(start->name, name, sizeof start->name - 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  int failed = pthread_create(&body->thread, &attributes, begin, start);
  pthread_attr_destroy(&attributes);
  if (failed != 0) {
    free(body);
    free(start);
    return thread;
  }
  thread.body = body;
  return thread;
}

bool cgrpc_thread_is_valid(cgrpc_thread thread) { return thread.body != NULL; }

void cgrpc_thread_join(cgrpc_thread thread) {
  pthread_join(thread.body->thread, NULL);
  free(thread.body);
}

void cgrpc_thread_detach(cgrpc_thread thread) {
  pthread_detach(thread.body->thread);
  free(thread.body);
}

static _Thread_local char mark;

uintptr_t cgrpc_thread_current(void) { return (uintptr_t)&mark; }
