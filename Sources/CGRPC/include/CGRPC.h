#ifndef CGRPC_H
#define CGRPC_H

// A thin layer over the gRPC C core (1.51, core 29) for Swift: one header and one C file for each
// concept. Every handle is a struct type of its own, so that the compiler tells a call from a queue.
// Nothing here decides anything; the rules live in the Swift target RPC.

#include "cgrpc_handles.h"
#include "cgrpc_runtime.h"
#include "cgrpc_arguments.h"
#include "cgrpc_credentials.h"
#include "cgrpc_thread.h"
#include "cgrpc_queue.h"
#include "cgrpc_metadata.h"
#include "cgrpc_message.h"
#include "cgrpc_call.h"
#include "cgrpc_server.h"
#include "cgrpc_channel.h"

#endif
