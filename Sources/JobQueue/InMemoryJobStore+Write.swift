extension InMemoryJobStore {
  public func write(_ writes: [LeaseWrite]) async throws(JobStoreError) -> [WriteResult] {
    var storable: [LeaseWrite] = []
    for write in writes { storable.append(try write.storable()) }
    let now = now()
    return try change { state, signals in
      storable.map { write in
        guard var entry = state.jobs[write.lease.job] else { return .leaseLost }
        let result = entry.apply(write, at: now)
        state.jobs[write.lease.job] = entry
        if result == .written { signals += write.signals }
        return result
      }
    }
  }
}

extension InMemoryJobStore.Entry {
  /// Carries out a write under its lease, or recognises one that was carried out before.
  mutating func apply(_ write: LeaseWrite, at now: Timestamp) -> WriteResult {
    let committed = Int(job.usage.outputTokens)
    guard job.isHeld(under: write.lease),
      write.chunk.map({ $0.firstIndex == committed }) ?? true
    else { return holds(write) ? .written : .leaseLost }
    if let chunk = write.chunk {
      chunks.append(chunk)
      job.firstTokenTime = job.firstTokenTime ?? now
    }
    if !write.modelFingerprint.isEmpty { job.modelFingerprint = write.modelFingerprint }
    let count = committed + (write.chunk?.tokens.count ?? 0)
    job.usage = write.usage
    job.usage.outputTokens = Int64(count)
    if let end = write.end { job.finish(end, at: now) }
    return .written
  }

  /// Whether the write is a repetition of one that was committed under the same lease: ends leave
  /// the epoch as it is, and nobody else writes under it.
  private func holds(_ write: LeaseWrite) -> Bool {
    guard job.epoch == write.lease.epoch else { return false }
    let committed = Int(job.usage.outputTokens)
    switch write.end {
    case nil:
      guard [.running, .succeeded, .failed].contains(job.state) else { return false }
      return write.chunk.map { $0.endIndex <= committed } ?? false
    case .succeeded(let reason, let alternatives):
      return job.state == .succeeded && job.finishReason == reason
        && job.alternativeFinishReasons == alternatives
        && (write.chunk.map { $0.endIndex == committed } ?? true)
    case .failed(let failure):
      return job.state == .failed && job.failure?.code == failure.code
        && (write.chunk.map { $0.endIndex == committed } ?? true)
    }
  }
}
