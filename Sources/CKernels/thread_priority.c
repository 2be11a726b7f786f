// The place of compute threads behind all other threads of the machine.
//
// Compute threads never sleep while there is work. A thread that wakes to commit, read or stream a
// token would have to wait for one of them to use up its time slice, at each hand-over on the way. A
// lower weight and a longer slice let it go first (Linux from 6.12 prefers who asks for less at a
// time). What is asked for here needs no privilege, and threads that are started later inherit it.

#pragma STDC FP_CONTRACT OFF

#define _GNU_SOURCE  // for syscall() and the names of threads

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "CKernels.h"

#if defined(SYS_sched_setattr)
// The kernel's `struct sched_attr` in its first form (sched_setattr(2)), which glibc does not declare.
typedef struct {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
} thread_attributes;
#endif

void mk_thread_name(void) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "millrace-engine");
#endif
}

int mk_thread_give_way(int niceness, uint64_t slice_ns) {
  // Whoever started the program under another policy, or further back, means it.
  if (sched_getscheduler(0) != SCHED_OTHER) return 0;
  errno = 0;
  const int now = getpriority(PRIO_PROCESS, 0);
  if (now == -1 && errno != 0) return errno;
  if (now > niceness) niceness = now;
#if defined(SYS_sched_setattr)
  const thread_attributes attributes = {
      .size = sizeof attributes, .policy = SCHED_OTHER, .nice = niceness, .runtime = slice_ns};
  if (syscall(SYS_sched_setattr, 0, &attributes, 0) == 0) return 0;
#endif
  // Older kernels, and sandboxes that do not know the call.
  return setpriority(PRIO_PROCESS, 0, niceness) == 0 ? 0 : errno;
}
