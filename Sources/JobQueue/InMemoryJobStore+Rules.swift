/// What every store demands of what it is given, before it stores anything.
extension Submission {
  package func checkStorable() throws(JobStoreError) {
    guard tenant.utf8.count <= JobLimits.tenantBytes,
      (requestID?.utf8.count ?? 0) <= JobLimits.requestIDBytes,
      spec.model.utf8.count <= JobLimits.modelNameBytes,
      (1...JobLimits.maxAttempts).contains(spec.maxAttempts), let prompt = spec.prompt
    else {
      throw JobStoreError(
        code: .invalid,
        message: "a submission exceeds the limits of a job, or lacks its prompt; validate it before"
      )
    }
    let texts = [tenant, requestID ?? "", spec.model] + spec.sampling.stop + prompt.texts
    let labels = spec.labels.flatMap { [$0.key, $0.value] }
    guard !(texts + labels).contains(where: { $0.utf8.contains(0) }) else {
      throw JobStoreError(
        code: .invalid, message: "a submission holds the character U+0000; remove it")
    }
  }
}

extension Prompt {
  fileprivate var texts: [String] {
    switch self {
    case .text(let text): [text]
    case .tokens: []
    case .messages(let messages): messages.flatMap { [$0.role, $0.content] }
    }
  }
}

extension LeaseWrite {
  /// The write as stores keep it: an empty chunk is none, one of output 0 alone says nothing of
  /// outputs, and U+0000, which PostgreSQL's text cannot hold and a model's bytes can spell, becomes
  /// U+FFFD, in memory as in the database.
  package func storable() throws(JobStoreError) -> LeaseWrite {
    var write = self
    if let chunk = write.chunk {
      let count = chunk.tokens.count
      guard chunk.firstIndex >= 0, chunk.pieces.count == count,
        chunk.offsetsMicroseconds.count == count, chunk.logprobs.map({ $0.count == count }) ?? true,
        chunk.outputs.map({ $0.count == count }) ?? true
      else {
        throw JobStoreError(
          code: .invalid, message: "a chunk's arrays must have one element per token")
      }
      guard chunk.outputs?.allSatisfy(JobLimits.outputNumbers.contains) ?? true else {
        throw JobStoreError(
          code: .invalid,
          message: "a job's outputs are numbered from 0 to \(JobLimits.outputs - 1)")
      }
      write.chunk = count == 0 ? nil : chunk
      if chunk.outputs?.allSatisfy({ $0 == 0 }) ?? false { write.chunk?.outputs = nil }
      write.chunk?.pieces = chunk.pieces.map(\.withoutNull)
    }
    if case .failed(var failure) = write.end {
      failure.message = failure.message.withoutNull
      write.end = .failed(failure)
    }
    return write
  }
}

extension String {
  fileprivate var withoutNull: String {
    utf8.contains(0)
      ? String(String.UnicodeScalarView(unicodeScalars.map { $0 == "\0" ? "\u{FFFD}" : $0 })) : self
  }
}

extension JobStoreError {
  package static func queueFull(limit: Int) -> JobStoreError {
    JobStoreError(
      code: .exhausted,
      message: "the queue is full: no more than \(limit) jobs may wait; try again when some have "
        + "run, or raise the limit of queued jobs")
  }

  package static func tooMany(_ what: String, limit: Int) -> JobStoreError {
    JobStoreError(
      code: .invalid, message: "more than \(limit) \(what) in one call; split it up")
  }
}
