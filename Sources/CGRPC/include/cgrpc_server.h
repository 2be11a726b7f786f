#ifndef CGRPC_SERVER_H
#define CGRPC_SERVER_H

#include "cgrpc_handles.h"

cgrpc_server cgrpc_server_create(cgrpc_arguments arguments);

/// Every queue that calls will arrive on, before the start.
void cgrpc_server_add_queue(cgrpc_server server, cgrpc_queue queue);

/// Listens on an address of the core's form ("127.0.0.1:0", "unix:/run/x"). Returns the port, 1 for
/// a unix socket, and 0 when it cannot listen there.
int cgrpc_server_listen(
    cgrpc_server server, const char *address, cgrpc_server_credentials credentials);

/// Registers a method before the start. With reads_message, a call arrives together with its first
/// message. The result holds NULL when the name is already taken.
cgrpc_method cgrpc_server_register(cgrpc_server server, const char *path, bool reads_message);
bool cgrpc_method_is_valid(cgrpc_method method);

void cgrpc_server_start(cgrpc_server server);

/// The place where one call of the future arrives.
cgrpc_request cgrpc_request_create(void);
void cgrpc_request_destroy(cgrpc_request request);

/// Asks for one call of a method. The tag comes back with the call, or without success at shutdown.
bool cgrpc_server_request_method(
    cgrpc_server server, cgrpc_method method, cgrpc_request request, cgrpc_queue queue,
    cgrpc_tag tag);

/// Asks for one call of any method that was not registered.
bool cgrpc_server_request_unregistered(
    cgrpc_server server, cgrpc_request request, cgrpc_queue queue, cgrpc_tag tag);

/// Moves the call that arrived out of the request, which may then be used again.
cgrpc_call cgrpc_request_take_call(cgrpc_request request);

/// Stops accepting; the tag comes back when every connection has ended.
void cgrpc_server_shutdown(cgrpc_server server, cgrpc_queue queue, cgrpc_tag tag);
void cgrpc_server_cancel_all(cgrpc_server server);

/// Only when the tag of the shutdown has come back.
void cgrpc_server_destroy(cgrpc_server server);

#endif
