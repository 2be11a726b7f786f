import RPC

/// The files that flags name, of those that are given, for errors about all of them together.
func named(_ files: [(flag: String, path: String?)]) -> String {
  files.compactMap { flag, path in path.map { "\(flag) \($0)" } }.joined(separator: ", ")
}

/// The bytes of a PEM file that a flag names.
///
/// - Parameter kind: what it must hold, `CERTIFICATE` or `PRIVATE KEY`.
/// - Throws: what is wrong with it, with the flag and the path.
func readPEM(_ path: String, _ flag: String, holds kind: String) throws(CommandFailure) -> [UInt8] {
  let bytes = try readFile(path, flag)
  let text = String(decoding: bytes, as: UTF8.self)
  guard PEM.holds(text, kind) else {
    throw CommandFailure("\(flag) \(path) holds no \(kind) in PEM form; name a file that does")
  }
  guard !PEM.isEncrypted(text) else {
    throw CommandFailure(
      "\(flag) \(path) is encrypted; decrypt it first: openssl pkey -in \(path) -out KEY")
  }
  return bytes
}
