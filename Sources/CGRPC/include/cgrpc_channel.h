#ifndef CGRPC_CHANNEL_H
#define CGRPC_CHANNEL_H

#include "cgrpc_handles.h"

/// A channel to a target of the core's form ("127.0.0.1:50051", "unix:/run/x", "dns:///host:1").
cgrpc_channel cgrpc_channel_create(
    const char *target, cgrpc_channel_credentials credentials, cgrpc_arguments arguments);

/// A call that will start with its first batch. No deadline with INT64_MAX.
cgrpc_call cgrpc_channel_call(
    cgrpc_channel channel, cgrpc_queue queue, const uint8_t *path, size_t path_length,
    int64_t timeout_nanoseconds);

typedef enum : int32_t {
  CGRPC_CHANNEL_IDLE = 0,
  CGRPC_CHANNEL_CONNECTING = 1,
  CGRPC_CHANNEL_READY = 2,
  CGRPC_CHANNEL_TRANSIENT_FAILURE = 3,
  CGRPC_CHANNEL_SHUTDOWN = 4,
} cgrpc_channel_state;

/// The state of the connection; with connect, an idle channel starts to connect.
cgrpc_channel_state cgrpc_channel_current_state(cgrpc_channel channel, bool connect);

void cgrpc_channel_destroy(cgrpc_channel channel);

#endif
