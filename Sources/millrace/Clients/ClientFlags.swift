import ArgumentParser
import Foundation
import RPC

/// How to reach the service; shared by all commands that talk to one.
struct ClientFlags: ParsableArguments {
  @Option(help: "The service: HOST:PORT or unix:PATH. [MILLRACE_ADDRESS, or 127.0.0.1:50051]")
  var address: String?

  @Option(help: "The tenant to speak for. [MILLRACE_TENANT, or default]")
  var tenant: String?

  @Option(
    help: "PEM file with the roots that the service's certificate comes from; for TLS. [no TLS]")
  var tlsRoots: String?

  @Option(help: "PEM file with this client's certificate; for mutual TLS.")
  var tlsCertificate: String?

  @Option(help: "PEM file with this client's private key; for mutual TLS.")
  var tlsKey: String?

  @Option(parsing: .unconditional, help: "Seconds that a call may take; watching is not limited.")
  var timeout: Double = 30

  @Option(
    parsing: .unconditional,
    help: "Seconds to wait for the service to be ready; without it, it must be.")
  var wait: Double = 0

  @Flag(help: "Print JSON.")
  var json = false

  func validate() throws {
    guard (0...86_400).contains(wait) else {
      throw ValidationError("--wait must be from 0 to 86400 seconds")
    }
    guard timeout > 0, timeout <= 86_400 else {
      throw ValidationError("--timeout must be over 0 and at most 86400 seconds")
    }
    guard (tlsCertificate == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-certificate and --tls-key go together")
    }
    guard tlsCertificate == nil || tlsRoots != nil else {
      throw ValidationError("--tls-certificate and --tls-key need --tls-roots")
    }
  }

  /// The files that a connection over TLS depends on, for errors.
  private var tlsFiles: String {
    named([
      ("--tls-roots", tlsRoots), ("--tls-certificate", tlsCertificate), ("--tls-key", tlsKey),
    ])
  }

  /// The flags given, as they are repeated in hints.
  private var repeated: String {
    let given: [(String, String?)] = [
      ("--address", address), ("--tenant", tenant), ("--tls-roots", tlsRoots),
      ("--tls-certificate", tlsCertificate), ("--tls-key", tlsKey),
    ]
    return given.compactMap { flag, value in value.map { " \(flag) \(quoted($0))" } }.joined()
  }

  /// A word as the shell takes it.
  private func quoted(_ word: String) -> String {
    let isPlain = word.allSatisfy {
      $0.isASCII && ($0.isLetter || $0.isNumber || "-_./:=@".contains($0))
    }
    return isPlain && !word.isEmpty ? word : "'\(word.replacing("'", with: "'\\''"))'"
  }

  var target: String {
    address ?? ProcessInfo.processInfo.environment["MILLRACE_ADDRESS"] ?? "127.0.0.1:50051"
  }

  /// Connects, runs the body and disconnects.
  func withClient<Value>(_ body: (JobClient) async throws -> Value) async throws -> Value {
    do {
      guard let address = SocketAddress(target) else {
        throw CommandFailure("--address is \(target); it must be HOST:PORT or unix:PATH")
      }
      var configuration = ClientConfiguration(address: address)
      configuration.maxReceiveMessageBytes = 256 << 20
      configuration.maxSendMessageBytes = 16 << 20
      if let roots = tlsRoots {
        let rootBytes = try readPEM(roots, "--tls-roots", holds: "CERTIFICATE")
        if let certificate = tlsCertificate, let key = tlsKey {
          configuration.credentials = .mutualTLS(
            roots: rootBytes,
            certificateChain: try readPEM(
              certificate, "--tls-certificate", holds: "CERTIFICATE"),
            privateKey: try readPEM(key, "--tls-key", holds: "PRIVATE KEY"))
        } else {
          configuration.credentials = .tls(roots: rootBytes)
        }
      }
      let client = try Client(configuration: configuration)
      let jobs = JobClient(
        client: client, target: target, tlsFiles: tlsFiles, flags: repeated,
        tenant: tenant ?? ProcessInfo.processInfo.environment["MILLRACE_TENANT"],
        timeout: .seconds(timeout))
      let result: Result<Value, any Error>
      do {
        if wait > 0 { try await jobs.waitUntilServing(.seconds(wait)) }
        result = .success(try await body(jobs))
      } catch {
        result = .failure(error)
      }
      await client.shutDown()
      return try result.get()
    } catch {
      throw CommandFailure(error)
    }
  }
}
