#ifndef CGRPC_ARGUMENTS_H
#define CGRPC_ARGUMENTS_H

#include "cgrpc_handles.h"

/// A list of named settings for a server or a channel. Names and texts are copied.
cgrpc_arguments cgrpc_arguments_create(void);
void cgrpc_arguments_set_integer(cgrpc_arguments arguments, const char *name, int value);
void cgrpc_arguments_set_text(cgrpc_arguments arguments, const char *name, const char *value);
/// Bounds the memory that the connections take together; under pressure the core lets peers send less,
/// and in the end cuts streams off.
void cgrpc_arguments_set_memory_quota(cgrpc_arguments arguments, size_t bytes);
void cgrpc_arguments_destroy(cgrpc_arguments arguments);

#endif
