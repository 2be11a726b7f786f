#ifndef CGRPC_HANDLES_H
#define CGRPC_HANDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The core is safe to call from any thread, so its handles may travel between threads. When a handle
// may still be used is the Swift side's to know.
#if defined(__clang__)
#define CGRPC_SENDABLE __attribute__((swift_attr("@Sendable")))
#else
#define CGRPC_SENDABLE
#endif

/// What the core hands back with an event; it means nothing to C.
typedef uintptr_t cgrpc_tag;

typedef struct CGRPC_SENDABLE { struct cgrpc_arguments_body *body; } cgrpc_arguments;
typedef struct CGRPC_SENDABLE { struct cgrpc_queue_body *body; } cgrpc_queue;
typedef struct CGRPC_SENDABLE { struct cgrpc_call_body *body; } cgrpc_call;
typedef struct CGRPC_SENDABLE { struct cgrpc_request_body *body; } cgrpc_request;
typedef struct CGRPC_SENDABLE { struct grpc_server *core; } cgrpc_server;
typedef struct CGRPC_SENDABLE {
  struct cgrpc_method_body *core;
  bool reads_message;
} cgrpc_method;
typedef struct CGRPC_SENDABLE { struct grpc_channel *core; } cgrpc_channel;
typedef struct CGRPC_SENDABLE { struct grpc_server_credentials *core; } cgrpc_server_credentials;
typedef struct CGRPC_SENDABLE { struct grpc_channel_credentials *core; } cgrpc_channel_credentials;

#endif
