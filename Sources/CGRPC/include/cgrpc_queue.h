#ifndef CGRPC_QUEUE_H
#define CGRPC_QUEUE_H

#include "cgrpc_handles.h"

typedef enum : int32_t {
  CGRPC_EVENT_NONE = 0,
  CGRPC_EVENT_COMPLETED = 1,
  CGRPC_EVENT_SHUTDOWN = 2,
} cgrpc_event_kind;

typedef struct {
  cgrpc_event_kind kind;
  bool succeeded;
  cgrpc_tag tag;
} cgrpc_event;

/// A completion queue, and a way to wake the thread that waits on it.
cgrpc_queue cgrpc_queue_create(void);

/// The next event. With wait it blocks until there is one; without, it may return EVENT_NONE.
cgrpc_event cgrpc_queue_next(cgrpc_queue queue, bool wait);

/// Puts an event with this tag on the queue, from any thread. Not allowed after shutdown.
void cgrpc_queue_post(cgrpc_queue queue, cgrpc_tag tag);

/// Events that are still due come out first, then EVENT_SHUTDOWN.
void cgrpc_queue_shutdown(cgrpc_queue queue);

/// Only after EVENT_SHUTDOWN.
void cgrpc_queue_destroy(cgrpc_queue queue);

#endif
