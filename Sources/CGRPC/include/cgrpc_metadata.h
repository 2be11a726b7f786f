#ifndef CGRPC_METADATA_H
#define CGRPC_METADATA_H

#include "cgrpc_handles.h"

/// One key and value inside a call, valid as long as the call.
typedef struct {
  const uint8_t *key;
  size_t key_length;
  const uint8_t *value;
  size_t value_length;
} cgrpc_metadata_entry;

/// The lists of metadata that a call holds.
typedef enum : int32_t {
  /// What the peer sent first: a client's headers, or a server's initial metadata.
  CGRPC_RECEIVED_INITIAL = 0,
  /// What the server sent with its status.
  CGRPC_RECEIVED_TRAILING = 1,
} cgrpc_received_list;

size_t cgrpc_metadata_count(cgrpc_call call, cgrpc_received_list list);
cgrpc_metadata_entry cgrpc_metadata_at(cgrpc_call call, cgrpc_received_list list, size_t index);

/// The lists of metadata that a call will send.
typedef enum : int32_t {
  CGRPC_SENT_INITIAL = 0,
  CGRPC_SENT_TRAILING = 1,
} cgrpc_sent_list;

/// Adds a copy of key and value to what will be sent. Keys must be lower case; only keys that end in
/// "-bin" may hold any byte. False when the core would refuse it.
bool cgrpc_metadata_add(
    cgrpc_call call, cgrpc_sent_list list, const uint8_t *key, size_t key_length,
    const uint8_t *value, size_t value_length);

#endif
