#ifndef CGRPC_RUNTIME_H
#define CGRPC_RUNTIME_H

#include "cgrpc_handles.h"

/// Receives what the core logs; severity 0 is debug, 1 is information, 2 is error.
typedef void (*cgrpc_log_sink)(int severity, const char *file, int line, const char *message);

/// Starts the core, once a process, and sends its log lines of this severity and above to the sink.
void cgrpc_runtime_start(cgrpc_log_sink sink, int minimum_severity);

/// The version of the core that is linked.
const char *cgrpc_runtime_version(void);

#endif
