#ifndef CGRPC_CALL_H
#define CGRPC_CALL_H

#include "cgrpc_handles.h"

/// What one batch does; the values are or-ed together, and one tag comes back for all of them.
typedef enum : uint32_t {
  CGRPC_SEND_INITIAL_METADATA = 1u << 0,
  CGRPC_SEND_MESSAGE = 1u << 1,
  /// A client has no more messages.
  CGRPC_SEND_CLOSE = 1u << 2,
  /// A server ends the call.
  CGRPC_SEND_STATUS = 1u << 3,
  CGRPC_RECEIVE_INITIAL_METADATA = 1u << 4,
  CGRPC_RECEIVE_MESSAGE = 1u << 5,
  /// A client learns how the call ended.
  CGRPC_RECEIVE_STATUS = 1u << 6,
  /// A server learns that the call is over, and whether it was cancelled.
  CGRPC_RECEIVE_CLOSE = 1u << 7,
  /// With SEND_MESSAGE: more follows at once, so the core may hold this one back for a moment.
  CGRPC_MORE_FOLLOWS = 1u << 8,
  /// With SEND_INITIAL_METADATA on a client: wait for a connection instead of failing.
  CGRPC_WAIT_FOR_READY = 1u << 9,
} cgrpc_batch;

/// Starts a batch. False when the core refuses it, and then no tag comes back.
bool cgrpc_call_start(cgrpc_call call, uint32_t batch, cgrpc_tag tag);

/// The status that SEND_STATUS will send; the message is copied.
void cgrpc_call_set_status(cgrpc_call call, int32_t code, const uint8_t *message, size_t length);

/// The status that RECEIVE_STATUS brought. The text is valid as long as the call.
int32_t cgrpc_call_status_code(cgrpc_call call);
const uint8_t *cgrpc_call_status_message(cgrpc_call call, size_t *length);

/// Whether RECEIVE_CLOSE found the call cancelled.
bool cgrpc_call_was_cancelled(cgrpc_call call);

/// Cancels with a status that the local side sees. The message must be a static text.
void cgrpc_call_cancel(cgrpc_call call, int32_t code, const char *static_message);

/// Nanoseconds until the deadline, negative when past, INT64_MAX without one.
int64_t cgrpc_call_nanoseconds_left(cgrpc_call call);

/// Copies the peer's address, cut to capacity with its end mark; returns its full length.
size_t cgrpc_call_copy_peer(cgrpc_call call, char *destination, size_t capacity);

/// Copies the name in the certificate that the peer showed, like cgrpc_call_copy_peer; 0 without one.
size_t cgrpc_call_copy_peer_certificate_name(cgrpc_call call, char *destination, size_t capacity);

/// Only when every tag has come back.
void cgrpc_call_destroy(cgrpc_call call);

#endif
