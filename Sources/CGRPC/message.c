#include "cgrpc_message.h"

#include <string.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>

#include "call.h"

bool cgrpc_message_arrived(cgrpc_call call) { return call.body->incoming != NULL; }

bool cgrpc_message_failed(cgrpc_call call) {
  return grpc_call_failed_before_recv_message(call.body->core) != 0;
}

size_t cgrpc_message_length(cgrpc_call call) {
  return call.body->incoming == NULL ? 0 : grpc_byte_buffer_length(call.body->incoming);
}

size_t cgrpc_message_take(cgrpc_call call, uint8_t *destination, size_t capacity) {
  size_t copied = 0;
  grpc_byte_buffer *buffer = call.body->incoming;
  if (buffer == NULL) return 0;
  grpc_byte_buffer_reader reader;
  if (grpc_byte_buffer_reader_init(&reader, buffer)) {
    grpc_slice *slice = NULL;
    while (grpc_byte_buffer_reader_peek(&reader, &slice)) {
      size_t length = GRPC_SLICE_LENGTH(*slice);
      if (length > capacity - copied) length = capacity - copied;
      if (length > 0) memcpy(destination + copied, GRPC_SLICE_START_PTR(*slice), length);
      copied += length;
    }
    grpc_byte_buffer_reader_destroy(&reader);
  }
  grpc_byte_buffer_destroy(buffer);
  call.body->incoming = NULL;
  return copied;
}

void cgrpc_message_put(cgrpc_call call, const uint8_t *bytes, size_t length) {
  if (call.body->outgoing != NULL) grpc_byte_buffer_destroy(call.body->outgoing);
  grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, length);
  call.body->outgoing = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_slice_unref(slice);
}
