import Foundation

/// Checks of PEM texts before they reach the core, which tells of a bad one in its log alone.
package enum PEM {
  static func check(_ text: String, holds kind: String, what: String) throws(RPCError) {
    guard holds(text, kind) else {
      throw RPCError(
        .invalidArgument, "\(what) holds no \(kind) in PEM form; check the file that it came from")
    }
  }

  /// Whether the text has a block of this kind, such as `CERTIFICATE`.
  package static func holds(_ text: String, _ kind: String) -> Bool {
    text.contains("-----BEGIN ") && text.contains("\(kind)-----") && !text.utf8.contains(0)
  }

  /// Whether a key wants a password, which the core cannot ask for.
  package static func isEncrypted(_ text: String) -> Bool {
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
  }
}
