import CGRPC

/// What receives the events of a completion queue.
///
/// Every batch that is handed to the core carries a tag: the object that started it, retained, plus a
/// small number that says which of its batches it was. The retain is given back when the tag comes
/// back, so an object lives at least as long as the core may write into its call.
///
/// It holds no state; subclasses keep theirs behind a `Mutex`.
class EventTarget: @unchecked Sendable {
  /// A batch has ended; `succeeded` is false when it was cut short. Runs on the queue's thread.
  func handle(_ purpose: Purpose, succeeded: Bool) {}
}

/// Which of an object's batches an event is about.
enum Purpose: UInt, Sendable {
  case arrived
  case closed
  case sent
  case received
  case ended
  case serverStopped
}

/// The number that travels through the core.
///
/// Objects lie at multiples of 16, so the lowest four bits of an address are free for the purpose.
enum Tag {
  /// The tag of an event that only wakes the thread.
  static let wake: cgrpc_tag = 0

  private static let purposeMask: UInt = 15

  static func retaining(_ target: EventTarget, _ purpose: Purpose) -> cgrpc_tag {
    UInt(bitPattern: Unmanaged.passRetained(target).toOpaque()) | purpose.rawValue
  }

  /// Gives the retain back, to whoever holds the result.
  static func take(_ tag: cgrpc_tag) -> (EventTarget, Purpose)? {
    guard let address = UnsafeRawPointer(bitPattern: tag & ~purposeMask),
      let purpose = Purpose(rawValue: tag & purposeMask)
    else { return nil }
    return (Unmanaged<EventTarget>.fromOpaque(address).takeRetainedValue(), purpose)
  }
}
