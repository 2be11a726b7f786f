#include "cgrpc_channel.h"

#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <grpc/support/time.h>

#include "arguments.h"
#include "call.h"
#include "queue.h"

static gpr_timespec deadline_after(int64_t nanoseconds) {
  if (nanoseconds == INT64_MAX) return gpr_inf_future(GPR_CLOCK_MONOTONIC);
  return gpr_time_add(
      gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(nanoseconds, GPR_TIMESPAN));
}

cgrpc_channel cgrpc_channel_create(
    const char *target, cgrpc_channel_credentials credentials, cgrpc_arguments arguments) {
  cgrpc_channel channel = {grpc_channel_create(target, credentials.core, &arguments.body->list)};
  return channel;
}

cgrpc_call cgrpc_channel_call(
    cgrpc_channel channel, cgrpc_queue queue, const uint8_t *path, size_t path_length,
    int64_t timeout_nanoseconds) {
  grpc_slice method = grpc_slice_from_copied_buffer((const char *)path, path_length);
  gpr_timespec deadline = deadline_after(timeout_nanoseconds);
  grpc_call *core = grpc_channel_create_call(
      channel.core, NULL, GRPC_PROPAGATE_DEFAULTS, queue.body->core, method, NULL, deadline, NULL);
  grpc_slice_unref(method);
  cgrpc_call call = cgrpc_call_wrap(core);
  call.body->deadline = deadline;
  return call;
}

cgrpc_channel_state cgrpc_channel_current_state(cgrpc_channel channel, bool connect) {
  return (cgrpc_channel_state)grpc_channel_check_connectivity_state(channel.core, connect);
}

void cgrpc_channel_destroy(cgrpc_channel channel) { grpc_channel_destroy(channel.core); }
