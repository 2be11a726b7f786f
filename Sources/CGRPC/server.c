#include "cgrpc_server.h"

#include <string.h>

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "arguments.h"
#include "call.h"
#include "queue.h"

struct cgrpc_request_body {
  grpc_call *call;
  gpr_timespec deadline;
  grpc_metadata_array metadata;
  grpc_byte_buffer *message;
  grpc_call_details details;
};

cgrpc_server cgrpc_server_create(cgrpc_arguments arguments) {
  cgrpc_server server = {grpc_server_create(&arguments.body->list, NULL)};
  return server;
}

void cgrpc_server_add_queue(cgrpc_server server, cgrpc_queue queue) {
  grpc_server_register_completion_queue(server.core, queue.body->core, NULL);
}

int cgrpc_server_listen(
    cgrpc_server server, const char *address, cgrpc_server_credentials credentials) {
  return grpc_server_add_http2_port(server.core, address, credentials.core);
}

cgrpc_method cgrpc_server_register(cgrpc_server server, const char *path, bool reads_message) {
  cgrpc_method method = {grpc_server_register_method(
      server.core, path, NULL,
      reads_message ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER : GRPC_SRM_PAYLOAD_NONE, 0),
      reads_message};
  return method;
}

bool cgrpc_method_is_valid(cgrpc_method method) { return method.core != NULL; }

void cgrpc_server_start(cgrpc_server server) { grpc_server_start(server.core); }

cgrpc_request cgrpc_request_create(void) {
  cgrpc_request request = {gpr_zalloc(sizeof(struct cgrpc_request_body))};
  grpc_call_details_init(&request.body->details);
  return request;
}

void cgrpc_request_destroy(cgrpc_request request) {
  grpc_metadata_array_destroy(&request.body->metadata);
  grpc_call_details_destroy(&request.body->details);
  gpr_free(request.body);
}

bool cgrpc_server_request_method(
    cgrpc_server server, cgrpc_method method, cgrpc_request request, cgrpc_queue queue,
    cgrpc_tag tag) {
  struct cgrpc_request_body *body = request.body;
  grpc_completion_queue *core = queue.body->core;
  return grpc_server_request_registered_call(
             server.core, method.core, &body->call, &body->deadline, &body->metadata,
             method.reads_message ? &body->message : NULL, core, core,
             cgrpc_tag_pointer(tag)) == GRPC_CALL_OK;
}

bool cgrpc_server_request_unregistered(
    cgrpc_server server, cgrpc_request request, cgrpc_queue queue, cgrpc_tag tag) {
  struct cgrpc_request_body *body = request.body;
  grpc_completion_queue *core = queue.body->core;
  return grpc_server_request_call(
             server.core, &body->call, &body->details, &body->metadata, core, core,
             cgrpc_tag_pointer(tag)) == GRPC_CALL_OK;
}

cgrpc_call cgrpc_request_take_call(cgrpc_request request) {
  struct cgrpc_request_body *body = request.body;
  cgrpc_call call = cgrpc_call_wrap(body->call);
  call.body->deadline = body->deadline;
  call.body->received[CGRPC_RECEIVED_INITIAL] = body->metadata;
  call.body->incoming = body->message;
  grpc_call_details_destroy(&body->details);
  memset(body, 0, sizeof *body);
  grpc_call_details_init(&body->details);
  return call;
}

void cgrpc_server_shutdown(cgrpc_server server, cgrpc_queue queue, cgrpc_tag tag) {
  grpc_server_shutdown_and_notify(server.core, queue.body->core, cgrpc_tag_pointer(tag));
}

void cgrpc_server_cancel_all(cgrpc_server server) { grpc_server_cancel_all_calls(server.core); }

void cgrpc_server_destroy(cgrpc_server server) { grpc_server_destroy(server.core); }
