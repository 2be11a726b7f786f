#include "arguments.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>
#include <grpc/support/string_util.h>

cgrpc_arguments cgrpc_arguments_create(void) {
  cgrpc_arguments arguments = {gpr_zalloc(sizeof(struct cgrpc_arguments_body))};
  return arguments;
}

static grpc_arg *append(struct cgrpc_arguments_body *body, const char *name) {
  if (body->list.num_args == body->capacity) {
    body->capacity = body->capacity == 0 ? 16 : body->capacity * 2;
    body->list.args = gpr_realloc(body->list.args, body->capacity * sizeof(grpc_arg));
  }
  grpc_arg *argument = &body->list.args[body->list.num_args++];
  argument->key = gpr_strdup(name);
  return argument;
}

void cgrpc_arguments_set_integer(cgrpc_arguments arguments, const char *name, int value) {
  grpc_arg *argument = append(arguments.body, name);
  argument->type = GRPC_ARG_INTEGER;
  argument->value.integer = value;
}

void cgrpc_arguments_set_text(cgrpc_arguments arguments, const char *name, const char *value) {
  grpc_arg *argument = append(arguments.body, name);
  argument->type = GRPC_ARG_STRING;
  argument->value.string = gpr_strdup(value);
}

void cgrpc_arguments_set_memory_quota(cgrpc_arguments arguments, size_t bytes) {
  grpc_resource_quota *quota = grpc_resource_quota_create("memory");
  grpc_resource_quota_resize(quota, bytes);
  grpc_arg *argument = append(arguments.body, GRPC_ARG_RESOURCE_QUOTA);
  argument->type = GRPC_ARG_POINTER;
  argument->value.pointer.p = quota;
  argument->value.pointer.vtable = grpc_resource_quota_arg_vtable();
}

void cgrpc_arguments_destroy(cgrpc_arguments arguments) {
  struct cgrpc_arguments_body *body = arguments.body;
  for (size_t i = 0; i < body->list.num_args; i++) {
    if (body->list.args[i].type == GRPC_ARG_STRING) {
      gpr_free(body->list.args[i].value.string);
    }
    if (body->list.args[i].type == GRPC_ARG_POINTER) {
      body->list.args[i].value.pointer.vtable->destroy(body->list.args[i].value.pointer.p);
    }
    gpr_free(body->list.args[i].key);
  }
  gpr_free(body->list.args);
  gpr_free(body);
}
