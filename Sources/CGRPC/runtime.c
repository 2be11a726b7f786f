#include "cgrpc_runtime.h"

#include <grpc/grpc.h>
#include <grpc/support/log.h>

static cgrpc_log_sink current_sink;

static void forward(gpr_log_func_args *arguments) {
  cgrpc_log_sink sink = current_sink;
  if (sink != NULL) {
    sink((int)arguments->severity, arguments->file, arguments->line, arguments->message);
  }
}

void cgrpc_runtime_start(cgrpc_log_sink sink, int minimum_severity) {
  current_sink = sink;
  gpr_set_log_function(forward);
  gpr_set_log_verbosity((gpr_log_severity)minimum_severity);
  grpc_init();
}

const char *cgrpc_runtime_version(void) { return grpc_version_string(); }
