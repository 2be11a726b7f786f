#include "call.h"

#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>

#include "queue.h"

cgrpc_call cgrpc_call_wrap(grpc_call *core) {
  struct cgrpc_call_body *body = gpr_zalloc(sizeof *body);
  body->core = core;
  body->deadline = gpr_inf_future(GPR_CLOCK_MONOTONIC);
  body->status_message = grpc_empty_slice();
  body->status = GRPC_STATUS_UNKNOWN;
  cgrpc_call call = {body};
  return call;
}

static size_t add_sends(struct cgrpc_call_body *body, uint32_t batch, grpc_op *op) {
  size_t count = 0;
  if (batch & CGRPC_SEND_INITIAL_METADATA) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_SEND_INITIAL_METADATA;
    if (batch & CGRPC_WAIT_FOR_READY) {
      it->flags =
          GRPC_INITIAL_METADATA_WAIT_FOR_READY | GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    }
    it->data.send_initial_metadata.count = body->sent[CGRPC_SENT_INITIAL].count;
    it->data.send_initial_metadata.metadata = body->sent[CGRPC_SENT_INITIAL].items;
  }
  if (batch & CGRPC_SEND_MESSAGE) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_SEND_MESSAGE;
    it->flags = (batch & CGRPC_MORE_FOLLOWS) ? GRPC_WRITE_BUFFER_HINT : 0;
    it->data.send_message.send_message = body->outgoing;
  }
  if (batch & CGRPC_SEND_CLOSE) {
    op[count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
  }
  if (batch & CGRPC_SEND_STATUS) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    it->data.send_status_from_server.trailing_metadata_count = body->sent[CGRPC_SENT_TRAILING].count;
    it->data.send_status_from_server.trailing_metadata = body->sent[CGRPC_SENT_TRAILING].items;
    it->data.send_status_from_server.status = body->status;
    it->data.send_status_from_server.status_details = &body->status_message;
  }
  return count;
}

static size_t add_receives(struct cgrpc_call_body *body, uint32_t batch, grpc_op *op) {
  size_t count = 0;
  if (batch & CGRPC_RECEIVE_INITIAL_METADATA) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_RECV_INITIAL_METADATA;
    it->data.recv_initial_metadata.recv_initial_metadata = &body->received[CGRPC_RECEIVED_INITIAL];
  }
  if (batch & CGRPC_RECEIVE_MESSAGE) {
    if (body->incoming != NULL) {
      grpc_byte_buffer_destroy(body->incoming);
      body->incoming = NULL;
    }
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_RECV_MESSAGE;
    it->data.recv_message.recv_message = &body->incoming;
  }
  if (batch & CGRPC_RECEIVE_STATUS) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    it->data.recv_status_on_client.trailing_metadata = &body->received[CGRPC_RECEIVED_TRAILING];
    it->data.recv_status_on_client.status = &body->status;
    it->data.recv_status_on_client.status_details = &body->status_message;
  }
  if (batch & CGRPC_RECEIVE_CLOSE) {
    grpc_op *it = &op[count++];
    it->op = GRPC_OP_RECV_CLOSE_ON_SERVER;
    it->data.recv_close_on_server.cancelled = &body->cancelled;
  }
  return count;
}

bool cgrpc_call_start(cgrpc_call call, uint32_t batch, cgrpc_tag tag) {
  grpc_op operations[8];
  memset(operations, 0, sizeof operations);
  size_t count = add_sends(call.body, batch, operations);
  count += add_receives(call.body, batch, operations + count);
  return grpc_call_start_batch(
             call.body->core, operations, count, cgrpc_tag_pointer(tag), NULL) == GRPC_CALL_OK;
}

void cgrpc_call_set_status(cgrpc_call call, int32_t code, const uint8_t *message, size_t length) {
  call.body->status = (grpc_status_code)code;
  grpc_slice_unref(call.body->status_message);
  call.body->status_message = grpc_slice_from_copied_buffer((const char *)message, length);
}

int32_t cgrpc_call_status_code(cgrpc_call call) { return (int32_t)call.body->status; }

const uint8_t *cgrpc_call_status_message(cgrpc_call call, size_t *length) {
  *length = GRPC_SLICE_LENGTH(call.body->status_message);
  return GRPC_SLICE_START_PTR(call.body->status_message);
}

bool cgrpc_call_was_cancelled(cgrpc_call call) { return call.body->cancelled != 0; }

void cgrpc_call_cancel(cgrpc_call call, int32_t code, const char *static_message) {
  (void)grpc_call_cancel_with_status(
      call.body->core, (grpc_status_code)code, static_message, NULL);
}

int64_t cgrpc_call_nanoseconds_left(cgrpc_call call) {
  gpr_timespec deadline = gpr_convert_clock_type(call.body->deadline, GPR_CLOCK_MONOTONIC);
  if (gpr_time_cmp(deadline, gpr_inf_future(GPR_CLOCK_MONOTONIC)) == 0) return INT64_MAX;
  gpr_timespec left = gpr_time_sub(deadline, gpr_now(GPR_CLOCK_MONOTONIC));
  if (left.tv_sec > INT64_MAX / GPR_NS_PER_SEC - 1) return INT64_MAX;
  if (left.tv_sec < INT64_MIN / GPR_NS_PER_SEC + 1) return INT64_MIN;
  return left.tv_sec * GPR_NS_PER_SEC + left.tv_nsec;
}

static size_t copy_text(const char *text, size_t length, char *destination, size_t capacity) {
  if (capacity > 0) {
    size_t copied = length < capacity ? length : capacity - 1;
    memcpy(destination, text, copied);
    destination[copied] = 0;
  }
  return length;
}

size_t cgrpc_call_copy_peer(cgrpc_call call, char *destination, size_t capacity) {
  char *peer = grpc_call_get_peer(call.body->core);
  if (peer == NULL) return copy_text("", 0, destination, capacity);
  size_t length = copy_text(peer, strlen(peer), destination, capacity);
  gpr_free(peer);
  return length;
}

size_t cgrpc_call_copy_peer_certificate_name(cgrpc_call call, char *destination, size_t capacity) {
  size_t length = copy_text("", 0, destination, capacity);
  grpc_auth_context *context = grpc_call_auth_context(call.body->core);
  if (context == NULL) return length;
  if (grpc_auth_context_peer_is_authenticated(context)) {
    grpc_auth_property_iterator names =
        grpc_auth_context_find_properties_by_name(context, GRPC_X509_CN_PROPERTY_NAME);
    const grpc_auth_property *name = grpc_auth_property_iterator_next(&names);
    if (name != NULL) length = copy_text(name->value, name->value_length, destination, capacity);
  }
  grpc_auth_context_release(context);
  return length;
}

static void destroy_outgoing(cgrpc_outgoing *outgoing) {
  for (size_t i = 0; i < outgoing->count; i++) {
    grpc_slice_unref(outgoing->items[i].key);
    grpc_slice_unref(outgoing->items[i].value);
  }
  gpr_free(outgoing->items);
}

void cgrpc_call_destroy(cgrpc_call call) {
  struct cgrpc_call_body *body = call.body;
  if (body->incoming != NULL) grpc_byte_buffer_destroy(body->incoming);
  if (body->outgoing != NULL) grpc_byte_buffer_destroy(body->outgoing);
  grpc_slice_unref(body->status_message);
  for (int list = 0; list < 2; list++) {
    grpc_metadata_array_destroy(&body->received[list]);
    destroy_outgoing(&body->sent[list]);
  }
  grpc_call_unref(body->core);
  gpr_free(body);
}
