/// What this process knows of one watched job: the recent end of its committed output, shared by
/// all of the job's watchers, and its state.
///
/// A pure state machine. The tail is fed by signals that carry their chunk, and by reading the
/// store wherever a signal is missing; whichever watcher finds the topic stale reads for all.
/// A watcher that has fallen behind the tail reads its part from the store by itself, so a slow
/// one costs the others nothing and the memory here stays bounded.
package struct WatchTopic {
  /// What a watcher has to do next.
  package enum Action: Equatable {
    /// Pass these on, then ask again.
    case deliver([WatchEvent])
    /// Read this job's output from this index for the topic, then report with `didRead`.
    case read(from: Int)
    /// Read output from the watcher's own index up to the tail, for this watcher alone.
    case replay(upTo: Int)
    /// Nothing new: wait until the version is no longer this one.
    case wait(version: UInt64)
    /// The store does not hold what the watcher is to get next, though it says so.
    case fail
  }

  /// One watcher's place.
  package struct Position: Equatable {
    /// The next output index to deliver.
    package var index: Int
    /// The last state delivered.
    package var state: JobState?
    package private(set) var hasFinished = false

    package init(index: Int, state: JobState? = nil) {
      self.index = index
      self.state = state
    }

    fileprivate mutating func finish() { hasFinished = true }
  }

  /// How many tokens the tail keeps for watchers that are a little behind.
  package static let tailTokensLimit = 8_192

  package private(set) var job: Job?
  package private(set) var version: UInt64 = 0
  /// Contiguous committed chunks; the last ends at `end`.
  private var tail: [OutputChunk] = []
  private var start = 0
  private var end: Int?
  private var isStale = true
  private var isReading = false
  /// The store counts output after `end` that it did not answer with.
  private var isCorrupt = false
  /// How far the job was found to be while the store was being read.
  private var progressWhileReading: JobProgress?
  /// News came while the store was being read, which the answer may not know of.
  private var wasMarkedWhileReading = false

  package init() {}

  // MARK: Watchers

  package mutating func next(for position: inout Position) -> Action {
    if let events = deliverable(to: &position) { return .deliver(events) }
    if let end, position.index < start, position.index < end { return .replay(upTo: start) }
    if isStale, !isReading {
      isReading = true
      wasMarkedWhileReading = false
      progressWhileReading = nil
      return .read(from: end ?? position.index)
    }
    return isCorrupt && !isStale ? .fail : .wait(version: version)
  }

  private func deliverable(to position: inout Position) -> [WatchEvent]? {
    guard let job, let end else { return nil }
    var events: [WatchEvent] = []
    if position.state != job.state, !job.state.isTerminal {
      events.append(.state(job))
      position.state = job.state
    }
    if position.index >= start, position.index < end {
      let seen = tail.lastIndex { $0.endIndex <= position.index }
      for chunk in tail[(seen.map { $0 + 1 } ?? 0)...] {
        let news = chunk.dropping(before: position.index)
        events.append(.tokens(news))
        position.index = news.endIndex
      }
    }
    if job.state.isTerminal, position.index >= Int(job.usage.outputTokens) {
      events.append(.finished(job))
      position.finish()
    }
    return events.isEmpty ? nil : events
  }

  // MARK: News

  /// A signal said that the job has new output, or another state.
  package mutating func didSignal(_ chunk: OutputChunk?) {
    guard let chunk, let end, job?.state == .running, chunk.firstIndex <= end else {
      markStale()
      return
    }
    append(chunk)
    version += 1
  }

  /// Signals may have been lost, or enough time has passed to look again.
  package mutating func markStale() {
    isStale = true
    wasMarkedWhileReading = true
    version += 1
  }

  /// The store was asked how far the job is; `nil` says that it has no such job.
  package mutating func didLook(_ progress: JobProgress?) {
    if isReading {
      // The answer to come may be older than this or newer.
      progressWhileReading = progress
    } else if isStale || !covers(progress) {
      markStale()
    }
  }

  /// Whether all that is in the progress is known here.
  private func covers(_ progress: JobProgress?) -> Bool {
    guard let progress, let job, let end else { return false }
    return progress.state == job.state && progress.epoch == job.epoch
      && progress.outputTokens <= max(Int64(end), job.usage.outputTokens)
  }

  /// The store answered the read that `next` asked for.
  package mutating func didRead(_ page: OutputPage, from index: Int) {
    isReading = false
    if end == nil {
      // A watcher may ask from beyond what there is: the tail begins at what is committed.
      let known = min(index, Int(page.job.usage.outputTokens))
      start = known
      end = known
    }
    for chunk in page.chunks { append(chunk) }
    job = page.job
    let hasMore = (end ?? 0) < Int(page.job.usage.outputTokens)
    isCorrupt = hasMore && (end ?? 0) <= index
    let isOld = progressWhileReading.map { !covers($0) } ?? false
    isStale = hasMore && !isCorrupt || isOld || wasMarkedWhileReading
    version += 1
  }

  /// The read failed. The topic stays stale; the next look comes with the next signal or tick.
  package mutating func didFailToRead() {
    isReading = false
    isStale = true
  }

  /// A watcher's replay failed. The next look at the job wakes it.
  package mutating func didFailToReplay() {
    isStale = true
  }

  private mutating func append(_ chunk: OutputChunk) {
    guard let end, chunk.firstIndex <= end, chunk.endIndex > end else { return }
    let news = chunk.dropping(before: end)
    tail.append(news)
    self.end = news.endIndex
    while news.endIndex - start > Self.tailTokensLimit, tail.count > 1 {
      start = tail.removeFirst().endIndex
    }
  }
}

/// Something a watcher sees.
public enum WatchEvent: Hashable, Sendable {
  /// The job's state changed, to one that is not an end.
  case state(Job)
  /// Committed output. Each begins where the one before ended.
  case tokens(OutputChunk)
  /// The job ended; nothing follows.
  case finished(Job)
}
