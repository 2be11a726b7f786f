/// What the calls that were let in take up: a pure count against the server's limits.
///
/// Ordinary calls have `maxConcurrentCalls` places. Urgent ones take any of these, and when all are
/// taken, one of `reservedCalls` more; so nobody who holds ordinary calls open can keep them out.
package struct CallLoad {
  /// What one call takes up until it ends.
  package struct Share: Equatable, Sendable {
    package var isUrgent: Bool
    package var requestBytes: Int

    package init(isUrgent: Bool, requestBytes: Int) {
      self.isUrgent = isUrgent
      self.requestBytes = requestBytes
    }
  }

  /// Why a call is not let in.
  package enum Refusal: Equatable {
    case calls, requestBytes
  }

  /// A request up to this size is taken whatever others hold; the limit of calls bounds these.
  package static let smallRequestBytes = 4 << 10

  private let configuration: ServerConfiguration
  package private(set) var calls = 0
  package private(set) var requestBytes = 0

  package init(_ configuration: ServerConfiguration) {
    self.configuration = configuration
  }

  /// Counts the call in, or says why not.
  package mutating func take(_ share: Share) -> Refusal? {
    let reserved = share.isUrgent ? configuration.reservedCalls : 0
    guard calls < configuration.maxConcurrentCalls + reserved else { return .calls }
    let isSmall = share.requestBytes <= Self.smallRequestBytes
    guard isSmall || share.requestBytes <= configuration.maxRequestBytes - requestBytes else {
      return .requestBytes
    }
    calls += 1
    requestBytes += share.requestBytes
    return nil
  }

  /// Counts a call out that was counted in.
  package mutating func give(_ share: Share) {
    calls -= 1
    requestBytes -= share.requestBytes
  }
}
