/// A hint that something changed in the store.
public enum JobSignal: Hashable, Sendable {
  /// New jobs wait, or old ones returned to the queue.
  case ready
  /// A job has new output or another state. The chunk is there when the writer is in this
  /// process. A change of state (a claim, an end, a return to the queue) is signalled without a
  /// chunk, after the signal of the output that was committed with it.
  case progressed(JobID, OutputChunk?)
  /// A running job was ended from outside: whoever holds its lease has lost it.
  case revoked(JobID)
  /// Signals may have been lost: look at the store.
  case interrupted
}

extension JobSignal {
  /// What jobs that returned to the queue are announced by.
  package static func requeued(_ jobs: [JobID]) -> [JobSignal] {
    jobs.isEmpty ? [] : jobs.map { .progressed($0, nil) } + [.ready]
  }

  /// What rescued jobs are announced by.
  package static func rescued(_ jobs: [Job]) -> [JobSignal] {
    var signals = jobs.map { JobSignal.revoked($0.id) }
    signals += jobs.map { .progressed($0.id, nil) }
    if jobs.contains(where: { !$0.state.isTerminal }) { signals.append(.ready) }
    return signals
  }
}

extension LeaseWrite {
  /// What a write that was committed is announced by: its output, then its end.
  package var signals: [JobSignal] {
    let output = chunk.map { [JobSignal.progressed(lease.job, $0)] } ?? []
    return end == nil ? output : output + [.progressed(lease.job, nil)]
  }
}
