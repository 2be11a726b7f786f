#ifndef CGRPC_PRIVATE_QUEUE_H
#define CGRPC_PRIVATE_QUEUE_H

#include <grpc/grpc.h>

#include "cgrpc_queue.h"

struct cgrpc_queue_body {
  grpc_completion_queue *core;
  grpc_channel *nowhere;
  grpc_call *bell;
};

static inline void *cgrpc_tag_pointer(cgrpc_tag tag) { return (void *)tag; }

#endif
