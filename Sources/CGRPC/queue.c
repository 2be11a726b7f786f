#include "queue.h"

#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

// The core's public interface has no alarm. An empty batch on any call completes at once, on the
// queue that the call is bound to; so each queue keeps a call that goes nowhere, to ring.

cgrpc_queue cgrpc_queue_create(void) {
  struct cgrpc_queue_body *body = gpr_zalloc(sizeof *body);
  body->core = grpc_completion_queue_create_for_next(NULL);
  body->nowhere = grpc_lame_client_channel_create("bell", GRPC_STATUS_UNAVAILABLE, "bell");
  body->bell = grpc_channel_create_call(
      body->nowhere, NULL, GRPC_PROPAGATE_DEFAULTS, body->core,
      grpc_slice_from_static_string("/bell"), NULL, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
  cgrpc_queue queue = {body};
  return queue;
}

cgrpc_event cgrpc_queue_next(cgrpc_queue queue, bool wait) {
  gpr_timespec limit =
      wait ? gpr_inf_future(GPR_CLOCK_MONOTONIC) : gpr_inf_past(GPR_CLOCK_MONOTONIC);
  grpc_event event = grpc_completion_queue_next(queue.body->core, limit, NULL);
  cgrpc_event result = {CGRPC_EVENT_NONE, event.success != 0, (cgrpc_tag)event.tag};
  if (event.type == GRPC_OP_COMPLETE) {
    result.kind = CGRPC_EVENT_COMPLETED;
  } else if (event.type == GRPC_QUEUE_SHUTDOWN) {
    result.kind = CGRPC_EVENT_SHUTDOWN;
  }
  return result;
}

void cgrpc_queue_post(cgrpc_queue queue, cgrpc_tag tag) {
  (void)grpc_call_start_batch(queue.body->bell, NULL, 0, cgrpc_tag_pointer(tag), NULL);
}

void cgrpc_queue_shutdown(cgrpc_queue queue) { grpc_completion_queue_shutdown(queue.body->core); }

void cgrpc_queue_destroy(cgrpc_queue queue) {
  grpc_call_unref(queue.body->bell);
  grpc_channel_destroy(queue.body->nowhere);
  grpc_completion_queue_destroy(queue.body->core);
  gpr_free(queue.body);
}
