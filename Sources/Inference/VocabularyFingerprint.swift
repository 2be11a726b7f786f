import Crypto
import Foundation
import ModelFormats

extension GGUFVocabulary {
  /// SHA-256, in hexadecimal, of the tokens in the order of their ids: their pieces and types.
  var fingerprint: String {
    var hasher = SHA256()
    func add(_ number: Int) {
      withUnsafeBytes(of: UInt64(number).littleEndian) { hasher.update(bufferPointer: $0) }
    }
    hasher.update(data: Data(model.utf8))
    add(pieces.count)
    for piece in pieces {
      let bytes = Data(piece.utf8)
      add(bytes.count)
      hasher.update(data: bytes)
    }
    for type in types { add(Int(type)) }
    return hasher.finalize().map { String(format: "%02x", $0) }.joined()
  }
}
