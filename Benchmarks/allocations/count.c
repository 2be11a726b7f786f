// Counts how often a program allocates, for LD_PRELOAD; prints it to standard error at its end. Needs
// glibc.

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static atomic_long calls;

void *malloc(size_t size) {
  calls++;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  calls++;
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  calls++;
  return __libc_realloc(old, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  calls++;
  *out = __libc_memalign(alignment, size);
  return *out != NULL || size == 0 ? 0 : 12;  // ENOMEM
}

void *aligned_alloc(size_t alignment, size_t size) {
  calls++;
  return __libc_memalign(alignment, size);
}

__attribute__((destructor)) static void tell(void) {
  dprintf(STDERR_FILENO, "allocations %ld\n", (long)calls);
}
