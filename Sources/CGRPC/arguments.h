#ifndef CGRPC_PRIVATE_ARGUMENTS_H
#define CGRPC_PRIVATE_ARGUMENTS_H

#include <grpc/grpc.h>

#include "cgrpc_arguments.h"

struct cgrpc_arguments_body {
  grpc_channel_args list;
  size_t capacity;
};

#endif
