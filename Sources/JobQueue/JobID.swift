public import Foundation

/// The name of a job: a version 7 UUID (RFC 9562), so that ids made later sort later.
public struct JobID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let uuid: UUID

  public init(_ uuid: UUID) {
    self.uuid = uuid
  }

  /// Parses the canonical text form; `nil` for anything else.
  public init?(_ text: String) {
    guard text.utf8.count == 36, let uuid = UUID(uuidString: text) else { return nil }
    self.uuid = uuid
  }

  /// Makes a new id: 48 bits of Unix milliseconds, then random bits.
  public static func make(
    at time: Timestamp, using generator: inout some RandomNumberGenerator
  ) -> JobID {
    let milliseconds = UInt64(clamping: time.microsecondsSinceEpoch / 1_000)
    let high = generator.next()
    let low = generator.next()
    return JobID(
      UUID(
        uuid: (
          UInt8(truncatingIfNeeded: milliseconds >> 40),
          UInt8(truncatingIfNeeded: milliseconds >> 32),
          UInt8(truncatingIfNeeded: milliseconds >> 24),
          UInt8(truncatingIfNeeded: milliseconds >> 16),
          UInt8(truncatingIfNeeded: milliseconds >> 8),
          UInt8(truncatingIfNeeded: milliseconds),
          0x70 | UInt8(truncatingIfNeeded: high >> 8) & 0x0f,
          UInt8(truncatingIfNeeded: high),
          0x80 | UInt8(truncatingIfNeeded: low >> 56) & 0x3f,
          UInt8(truncatingIfNeeded: low >> 48), UInt8(truncatingIfNeeded: low >> 40),
          UInt8(truncatingIfNeeded: low >> 32), UInt8(truncatingIfNeeded: low >> 24),
          UInt8(truncatingIfNeeded: low >> 16), UInt8(truncatingIfNeeded: low >> 8),
          UInt8(truncatingIfNeeded: low)
        )))
  }

  /// The canonical form, in lower case as PostgreSQL prints it.
  public var description: String { uuid.uuidString.lowercased() }

  public static func < (lhs: JobID, rhs: JobID) -> Bool {
    withUnsafeBytes(of: lhs.uuid.uuid) { left in
      withUnsafeBytes(of: rhs.uuid.uuid) { right in left.lexicographicallyPrecedes(right) }
    }
  }
}
