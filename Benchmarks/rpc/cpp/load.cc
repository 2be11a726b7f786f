// The load client of the benchmark, the same for both servers.
//
//   load HOST:PORT unary SECONDS    128 calls in flight on 2 channels, 64 bytes each
//   load HOST:PORT stream SECONDS   8 server streams on 2 channels, messages of 64 bytes
//
// Prints one line: calls (or messages) a second, and for calls the median and the 99th percentile of
// their latency in microseconds. What happens in the first half second does not count.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <grpcpp/grpcpp.h>

#include "echo.grpc.pb.h"

namespace {

using Clock = std::chrono::steady_clock;
using millrace::benchmark::Echo;
using millrace::benchmark::Payload;

constexpr int kChannels = 2;
constexpr int kCallsInFlight = 128;
constexpr int kStreams = 8;
// With its tag and length a message then has 64 bytes.
constexpr int kDataBytes = 62;

std::atomic<bool> counting{false};
std::atomic<bool> stopping{false};
std::atomic<long> counted{0};
std::atomic<long> failed{0};
std::atomic<int> running{0};

class UnaryLoop {
 public:
  UnaryLoop(Echo::Stub* stub, const Payload& request) : stub_(stub), request_(request) {}

  void Start() {
    context_ = std::make_unique<grpc::ClientContext>();
    begin_ = Clock::now();
    stub_->async()->Unary(context_.get(), &request_, &response_, [this](grpc::Status status) {
      if (!status.ok() || response_.data().size() != request_.data().size()) failed++;
      if (counting) {
        counted++;
        latencies.push_back(
            std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_).count());
      }
      if (stopping) {
        running--;
      } else {
        Start();
      }
    });
  }

  std::vector<long> latencies;

 private:
  Echo::Stub* stub_;
  Payload request_;
  Payload response_;
  std::unique_ptr<grpc::ClientContext> context_;
  Clock::time_point begin_;
};

class StreamLoop final : public grpc::ClientReadReactor<Payload> {
 public:
  StreamLoop(Echo::Stub* stub, const Payload& request) : request_(request) {
    stub->async()->Stream(&context_, &request_, this);
    StartRead(&response_);
    StartCall();
  }

  void Cancel() { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (response_.data().size() != request_.data().size()) failed++;
    if (counting) counted++;
    StartRead(&response_);
  }

  void OnDone(const grpc::Status& status) override {
    if (status.error_code() != grpc::StatusCode::CANCELLED) failed++;
    running--;
  }

 private:
  grpc::ClientContext context_;
  Payload request_;
  Payload response_;
};

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

double Measure(double seconds) {
  Sleep(0.5);
  counting = true;
  Clock::time_point begin = Clock::now();
  Sleep(seconds);
  counting = false;
  stopping = true;
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: load HOST:PORT unary|stream SECONDS\n");
    return 2;
  }
  std::vector<std::unique_ptr<Echo::Stub>> stubs;
  for (int i = 0; i < kChannels; i++) {
    grpc::ChannelArguments settings;
    settings.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
        arguments[1], grpc::InsecureChannelCredentials(), settings);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) return 1;
    stubs.push_back(Echo::NewStub(channel));
  }
  Payload request;
  request.set_data(std::string(kDataBytes, 'x'));
  double seconds = std::atof(arguments[3]);

  if (std::strcmp(arguments[2], "unary") == 0) {
    std::vector<std::unique_ptr<UnaryLoop>> loops;
    for (int i = 0; i < kCallsInFlight; i++) {
      loops.push_back(std::make_unique<UnaryLoop>(stubs[i % kChannels].get(), request));
    }
    running = kCallsInFlight;
    for (auto& loop : loops) loop->Start();
    double elapsed = Measure(seconds);
    while (running > 0) Sleep(0.01);
    std::vector<long> all;
    for (auto& loop : loops) {
      all.insert(all.end(), loop->latencies.begin(), loop->latencies.end());
    }
    if (all.empty()) return 1;
    std::sort(all.begin(), all.end());
    std::printf(
        "%.0f %ld %ld\n", counted / elapsed, all[all.size() / 2], all[all.size() * 99 / 100]);
  } else {
    std::vector<std::unique_ptr<StreamLoop>> loops;
    running = kStreams;
    for (int i = 0; i < kStreams; i++) {
      loops.push_back(std::make_unique<StreamLoop>(stubs[i % kChannels].get(), request));
    }
    double elapsed = Measure(seconds);
    for (auto& loop : loops) loop->Cancel();
    while (running > 0) Sleep(0.01);
    std::printf("%.0f\n", counted / elapsed);
  }
  if (failed > 0) std::fprintf(stderr, "%ld failures\n", failed.load());
  return failed > 0 ? 1 : 0;
}
