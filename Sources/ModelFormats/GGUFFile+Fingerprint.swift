import Crypto
import Synchronization

extension GGUFFile {
  /// The SHA-256 of the whole file, as 64 lower-case hexadecimal digits.
  ///
  /// It names the model in results and caches: two files with the same fingerprint give the same
  /// output. The first call reads the whole file (seconds for a large one); later calls, from any
  /// thread, answer at once.
  public func computeFingerprint() -> String {
    fingerprint.withLock { known in
      if let known { return known }
      let digest = Self.hexDigest(of: map.bytes)
      known = digest
      return digest
    }
  }

  /// Takes the fingerprint from who knows it, because the file is what `identity` said then.
  package func assumeFingerprint(_ known: String) {
    fingerprint.withLock { $0 = $0 ?? known }
  }

  /// Which version of which file this is, without reading it: device, inode, size and the times of
  /// its last changes, of which the second cannot be set by a user.
  package var identity: String { map.identity }

  /// The identity, unless the file was changed so short a time before it was opened, at most so many
  /// seconds, that another change could have the same time.
  package func identity(settledFor seconds: Double) -> String? {
    map.age > seconds ? map.identity : nil
  }

  private static func hexDigest(of bytes: UnsafeRawBufferPointer) -> String {
    let chunkBytes = 4 << 20
    var hasher = SHA256()
    var start = 0
    while start < bytes.count {
      let end = min(start + chunkBytes, bytes.count)
      hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
      start = end
    }
    let digits = Array("0123456789abcdef".utf8)
    let text = hasher.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return String(decoding: text, as: UTF8.self)
  }
}
