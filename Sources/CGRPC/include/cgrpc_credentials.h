#ifndef CGRPC_CREDENTIALS_H
#define CGRPC_CREDENTIALS_H

#include "cgrpc_handles.h"

cgrpc_server_credentials cgrpc_server_credentials_insecure(void);

/// TLS for a server. With client_roots, a client must show a certificate that they vouch for.
/// All texts are PEM; client_roots may be NULL.
cgrpc_server_credentials cgrpc_server_credentials_tls(
    const char *certificate_chain, const char *private_key, const char *client_roots);
void cgrpc_server_credentials_destroy(cgrpc_server_credentials credentials);

cgrpc_channel_credentials cgrpc_channel_credentials_insecure(void);

/// TLS for a client. Without roots the system's are used; chain and key are NULL together.
/// The result holds NULL when the texts cannot be used.
cgrpc_channel_credentials cgrpc_channel_credentials_tls(
    const char *roots, const char *certificate_chain, const char *private_key);
void cgrpc_channel_credentials_destroy(cgrpc_channel_credentials credentials);

#endif
