#include "cgrpc_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>

cgrpc_server_credentials cgrpc_server_credentials_insecure(void) {
  cgrpc_server_credentials credentials = {grpc_insecure_server_credentials_create()};
  return credentials;
}

cgrpc_server_credentials cgrpc_server_credentials_tls(
    const char *certificate_chain, const char *private_key, const char *client_roots) {
  grpc_ssl_pem_key_cert_pair pair = {private_key, certificate_chain};
  grpc_ssl_client_certificate_request_type demand =
      client_roots == NULL ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                           : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  cgrpc_server_credentials credentials = {
      grpc_ssl_server_credentials_create_ex(client_roots, &pair, 1, demand, NULL)};
  return credentials;
}

void cgrpc_server_credentials_destroy(cgrpc_server_credentials credentials) {
  grpc_server_credentials_release(credentials.core);
}

cgrpc_channel_credentials cgrpc_channel_credentials_insecure(void) {
  cgrpc_channel_credentials credentials = {grpc_insecure_credentials_create()};
  return credentials;
}

cgrpc_channel_credentials cgrpc_channel_credentials_tls(
    const char *roots, const char *certificate_chain, const char *private_key) {
  grpc_ssl_pem_key_cert_pair pair = {private_key, certificate_chain};
  cgrpc_channel_credentials credentials = {
      grpc_ssl_credentials_create(roots, private_key == NULL ? NULL : &pair, NULL, NULL)};
  return credentials;
}

void cgrpc_channel_credentials_destroy(cgrpc_channel_credentials credentials) {
  grpc_channel_credentials_release(credentials.core);
}
