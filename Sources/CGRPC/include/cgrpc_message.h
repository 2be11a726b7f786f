#ifndef CGRPC_MESSAGE_H
#define CGRPC_MESSAGE_H

#include "cgrpc_handles.h"

/// Whether the last receive brought a message; an ended stream brings none.
bool cgrpc_message_arrived(cgrpc_call call);

/// Whether the last receive brought no message because the call failed, and not because the stream
/// ended.
bool cgrpc_message_failed(cgrpc_call call);

/// The number of bytes in the message that arrived.
size_t cgrpc_message_length(cgrpc_call call);

/// Copies the message that arrived, at most capacity bytes, and lets go of it. Returns the bytes
/// copied.
size_t cgrpc_message_take(cgrpc_call call, uint8_t *destination, size_t capacity);

/// Copies these bytes to be the next message that the call sends.
void cgrpc_message_put(cgrpc_call call, const uint8_t *bytes, size_t length);

#endif
