/// Why a job cannot be watched.
public enum WatchError: Error, Hashable, Sendable {
  /// There is no such job, or no longer.
  case notFound
  /// The hub is closing; watch again elsewhere, from the next token index.
  case closed
  /// The store is damaged: it counts more output of the job than it holds. What was delivered is
  /// all that can be had; submit the job again.
  case corrupt
}
