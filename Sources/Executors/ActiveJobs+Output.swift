import Inference
import JobQueue

extension ActiveJobs.Entry {
  /// The places in the engine that it takes now.
  var occupied: Int {
    guard let samples else { return places }
    return min(places, samples - outputs.count { $0.finish != nil })
  }

  /// Takes what a step of the engine brought of one of the job's outputs. The job ends with the last
  /// of them.
  /// - Throws: why the job fails.
  mutating func take(
    _ output: SequenceOutput, at now: ContinuousClock.Instant
  ) throws(JobFailure) {
    guard JobLimits.outputNumbers.contains(Int32(clamping: output.output)) else {
      throw JobFailure(code: .engine, message: "the engine made an output that there cannot be")
    }
    while outputs.count <= output.output { outputs.append(ActiveJobs.OutputProgress(tokens: 0)) }
    if !output.tokens.isEmpty { try append(output, at: now) }
    if let failure = output.failure { throw JobFailure(failure) }
    if let finish = output.finish {
      outputs[output.output].finish = JobQueue.FinishReason(finish)
    }
    if output.isLast { end = try success() }
  }

  private mutating func append(
    _ output: SequenceOutput, at now: ContinuousClock.Instant
  ) throws(JobFailure) {
    guard output.firstIndex == outputs[output.output].tokens else {
      throw JobFailure(code: .engine, message: "the engine skipped or repeated output tokens")
    }
    let count = output.tokens.count
    let offset = claimTime.duration(to: now).microseconds
    let chunk = OutputChunk(
      firstIndex: nextIndex, tokens: output.tokens.map(\.token),
      pieces: output.tokens.map(\.text),
      offsetsMicroseconds: Array(repeating: offset, count: count),
      logprobs: output.tokens.first?.logprob == nil ? nil : output.tokens.map(TokenLogprobs.init),
      outputs: output.output == 0 ? nil : Array(repeating: Int32(output.output), count: count))
    // A job taken up again finds its own prefix; what counts is how its first token came about.
    if output.output == 0, output.firstIndex == 0 {
      usage.cachedPromptTokens = Int64(output.cachedPromptTokens)
    }
    usage.countRound(drafted: output.draftedTokens, accepted: output.acceptedTokens)
    outputs[output.output].tokens += count
    nextIndex = chunk.endIndex
    if uncommitted == nil {
      uncommitted = chunk
    } else {
      uncommitted?.append(chunk)
    }
  }

  /// The end of a job all of whose outputs have ended.
  private func success() throws(JobFailure) -> JobEnd {
    let reasons = outputs.compactMap(\.finish)
    guard let first = reasons.first, reasons.count == samples ?? outputs.count else {
      throw JobFailure(code: .engine, message: "the engine left an output without an end")
    }
    return .succeeded(first, alternatives: Array(reasons.dropFirst()))
  }
}
