#include "cgrpc_metadata.h"

#include <string.h>

#include <grpc/slice.h>
#include <grpc/support/alloc.h>

#include "call.h"

size_t cgrpc_metadata_count(cgrpc_call call, cgrpc_received_list list) {
  return call.body->received[list].count;
}

cgrpc_metadata_entry cgrpc_metadata_at(cgrpc_call call, cgrpc_received_list list, size_t index) {
  grpc_metadata *item = &call.body->received[list].metadata[index];
  cgrpc_metadata_entry entry = {
      GRPC_SLICE_START_PTR(item->key), GRPC_SLICE_LENGTH(item->key),
      GRPC_SLICE_START_PTR(item->value), GRPC_SLICE_LENGTH(item->value)};
  return entry;
}

bool cgrpc_metadata_add(
    cgrpc_call call, cgrpc_sent_list list, const uint8_t *key, size_t key_length,
    const uint8_t *value, size_t value_length) {
  grpc_metadata item;
  memset(&item, 0, sizeof item);
  item.key = grpc_slice_from_copied_buffer((const char *)key, key_length);
  item.value = grpc_slice_from_copied_buffer((const char *)value, value_length);
  bool legal = grpc_header_key_is_legal(item.key) &&
               (grpc_is_binary_header(item.key) || grpc_header_nonbin_value_is_legal(item.value));
  if (!legal) {
    grpc_slice_unref(item.key);
    grpc_slice_unref(item.value);
    return false;
  }
  cgrpc_outgoing *outgoing = &call.body->sent[list];
  if (outgoing->count == outgoing->capacity) {
    outgoing->capacity = outgoing->capacity == 0 ? 4 : outgoing->capacity * 2;
    outgoing->items = gpr_realloc(outgoing->items, outgoing->capacity * sizeof(grpc_metadata));
  }
  outgoing->items[outgoing->count++] = item;
  return true;
}
