#ifndef CGRPC_PRIVATE_CALL_H
#define CGRPC_PRIVATE_CALL_H

#include <grpc/grpc.h>

#include "cgrpc_call.h"
#include "cgrpc_metadata.h"

typedef struct {
  grpc_metadata *items;
  size_t count;
  size_t capacity;
} cgrpc_outgoing;

// Everything that the core reads or writes while a batch is under way lies here, so it lives until
// the call is destroyed, which the owner does only when all tags have come back.
struct cgrpc_call_body {
  grpc_call *core;
  gpr_timespec deadline;
  grpc_metadata_array received[2];
  cgrpc_outgoing sent[2];
  grpc_byte_buffer *incoming;
  grpc_byte_buffer *outgoing;
  grpc_slice status_message;
  grpc_status_code status;
  int cancelled;
};

cgrpc_call cgrpc_call_wrap(grpc_call *core);

#endif
