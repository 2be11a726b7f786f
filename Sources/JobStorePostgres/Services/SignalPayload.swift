import Foundation
import JobQueue

/// Signals as the text of a notification, at most 8,000 bytes as PostgreSQL demands.
///
/// Layout: `1 ORIGIN KIND ID,ID,…`, where KIND is `ready`, `progressed`, `revoked` or
/// `interrupted` (too much to name); only the middle two have ids.
struct SignalPayload: Hashable {
  static let maxIDs = 200

  enum Kind: String {
    case ready, progressed, revoked, interrupted
  }

  var origin: UUID
  var kind: Kind
  var ids: [JobID]

  var text: String {
    "1 \(origin.uuidString) \(kind.rawValue) "
      + ids.map(\.description).joined(separator: ",")
  }

  init(origin: UUID, kind: Kind, ids: [JobID] = []) {
    self.origin = origin
    self.kind = kind
    self.ids = ids
  }

  /// Reads a payload; `nil` for one that this version does not know.
  init?(_ text: String) {
    let parts = text.split(separator: " ", omittingEmptySubsequences: false)
    guard parts.count == 4, parts[0] == "1", let origin = UUID(uuidString: String(parts[1])),
      let kind = Kind(rawValue: String(parts[2]))
    else { return nil }
    self.origin = origin
    self.kind = kind
    ids = parts[3].split(separator: ",").compactMap { JobID(String($0)) }
  }

  var signals: [JobSignal] {
    switch kind {
    case .ready: [.ready]
    case .progressed: ids.map { .progressed($0, nil) }
    case .revoked: ids.map { .revoked($0) }
    case .interrupted: [.interrupted]
    }
  }
}
