#ifndef CGRPC_THREAD_H
#define CGRPC_THREAD_H

#include "cgrpc_handles.h"

typedef struct CGRPC_SENDABLE { struct cgrpc_thread_body *body; } cgrpc_thread;

/// What a thread runs; the tag is the one it was started with.
typedef void (*cgrpc_thread_main)(cgrpc_tag tag);

/// Starts a thread of at most 15 letters. The result holds NULL when the system has none to give.
cgrpc_thread cgrpc_thread_start(const char *name, size_t stack_bytes, cgrpc_thread_main run, cgrpc_tag tag);
bool cgrpc_thread_is_valid(cgrpc_thread thread);

/// Waits for the end of the thread and frees it. Not from the thread itself.
void cgrpc_thread_join(cgrpc_thread thread);

/// Lets the thread end on its own; the handle is gone.
void cgrpc_thread_detach(cgrpc_thread thread);

/// A number that is this thread's alone for as long as it lives, and never 0.
uintptr_t cgrpc_thread_current(void);

#endif
