import Foundation

/// Checks of PEM texts before they reach the core, which tells of a bad one in its log alone.
enum PEM {
  static func check(_ text: String, holds kind: String, what: String) throws(RPCError) {
    let begins = text.contains("-----BEGIN ") && text.contains("\(kind)-----")
    guard begins, !text.utf8.contains(0) else {
      throw RPCError(
        .invalidArgument, "\(what) holds no \(kind) in PEM form; check the file that it came from")
    }
  }
}
