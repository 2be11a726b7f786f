// gRPC's own side of the benchmark: a callback server of grpc++ that, like Millrace's, handles raw
// bytes and never parses them.

#include <cstdio>
#include <memory>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace {

using grpc::ByteBuffer;
using millrace::benchmark::Echo;

class StreamWriter final : public grpc::ServerWriteReactor<ByteBuffer> {
 public:
  explicit StreamWriter(const ByteBuffer& message) : message_(message) { StartWrite(&message_); }

  void OnWriteDone(bool ok) override {
    if (ok) {
      StartWrite(&message_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }

  void OnDone() override { delete this; }

 private:
  ByteBuffer message_;
};

class EchoServer final
    : public Echo::WithRawCallbackMethod_Unary<Echo::WithRawCallbackMethod_Stream<Echo::Service>> {
 public:
  grpc::ServerUnaryReactor* Unary(
      grpc::CallbackServerContext* context, const ByteBuffer* request,
      ByteBuffer* response) override {
    *response = *request;
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<ByteBuffer>* Stream(
      grpc::CallbackServerContext*, const ByteBuffer* request) override {
    return new StreamWriter(*request);
  }
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fprintf(stderr, "usage: grpcpp-echo-server HOST:PORT\n");
    return 2;
  }
  EchoServer service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(arguments[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
}
