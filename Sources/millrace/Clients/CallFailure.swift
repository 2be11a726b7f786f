import Messages
import RPC
import SwiftProtobuf

/// A failed call in words: the message, or each bad field; and what to do.
struct CallFailure: Error, CustomStringConvertible {
  var code: StatusCode
  var description: String

  /// - Parameters:
  ///   - target: where the service was looked for.
  ///   - tlsFiles: the files that the connection's TLS depends on; empty without TLS.
  init(_ error: RPCError, target: String, tlsFiles: String) {
    code = error.code
    let status = error.details.flatMap { try? Google_Rpc_Status(serializedBytes: $0) }
    let violations = (status?.details ?? []).flatMap { detail in
      (try? Google_Rpc_BadRequest(unpackingAny: detail))?.fieldViolations ?? []
    }
    var lines: [String]
    if violations.isEmpty {
      lines = ["\(error)"]
    } else {
      // The message only says the first of these.
      lines = ["the service refused the request"]
      lines += violations.map { "  \($0.field): \($0.description_p)" }
      let infos = (status?.details ?? []).compactMap { try? Google_Rpc_ErrorInfo(unpackingAny: $0) }
      if let omitted = infos.first?.metadata["omitted_violations"] {
        lines.append("  and \(omitted) more")
      }
    }
    if error.code == .unavailable, status == nil {
      lines.append(
        "  Is a service listening on \(target)? Start one: millrace serve --model NAME=PATH")
      lines.append(
        tlsFiles.isEmpty
          ? "  Does it want TLS? Then give --tls-roots"
          : "  Does it speak TLS, and do these fit it and each other? \(tlsFiles)")
    }
    description = lines.joined(separator: "\n")
  }
}
