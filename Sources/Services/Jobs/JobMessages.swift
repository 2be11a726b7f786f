import JobQueue
import Messages
import SwiftProtobuf

extension Job {
  /// The job as clients see it, without output, but for why each output ended.
  func message() -> Millrace_V1_Job {
    var message = Millrace_V1_Job()
    message.id = id.description
    message.spec = spec.message
    message.state = state.message
    message.attempt = attempt
    message.finishReason = finishReason?.message ?? .unspecified
    message.alternatives = alternativeFinishReasons.map { reason in
      var output = Millrace_V1_Output()
      output.finishReason = reason.message
      return output
    }
    message.usage = usage.message
    message.createTime = createTime.message
    if let startTime { message.startTime = startTime.message }
    if let firstTokenTime { message.firstTokenTime = firstTokenTime.message }
    if let finishTime { message.finishTime = finishTime.message }
    if let failure { message.error = ServiceError.status(failure) }
    message.requestID = requestID ?? ""
    message.modelFingerprint = modelFingerprint ?? ""
    return message
  }

  /// The same with its committed output.
  func message(output chunks: [OutputChunk]) -> Millrace_V1_Job {
    var outputs: [Millrace_V1_Output] = []
    for chunk in chunks {
      for run in chunk.runs {
        while outputs.count <= run.output { outputs.append(Millrace_V1_Output()) }
        outputs[run.output].text += chunk.pieces[run.range].joined()
        outputs[run.output].tokenIds += chunk.tokens[run.range]
      }
    }
    let reasons = [finishReason].compactMap { $0 } + alternativeFinishReasons
    for (index, reason) in reasons.enumerated() {
      if index == outputs.count { outputs.append(Millrace_V1_Output()) }
      outputs[index].finishReason = reason.message
    }
    var message = message()
    message.text = outputs.first?.text ?? ""
    message.tokenIds = outputs.first?.tokenIds ?? []
    message.alternatives = Array(outputs.dropFirst())
    return message
  }
}

extension JobState {
  var message: Millrace_V1_JobState {
    switch self {
    case .queued: .queued
    case .running: .running
    case .succeeded: .succeeded
    case .failed: .failed
    case .cancelled: .cancelled
    case .expired: .expired
    }
  }

  /// `nil` for what is no state of a job.
  init?(_ message: Millrace_V1_JobState) {
    switch message {
    case .queued: self = .queued
    case .running: self = .running
    case .succeeded: self = .succeeded
    case .failed: self = .failed
    case .cancelled: self = .cancelled
    case .expired: self = .expired
    case .unspecified, .UNRECOGNIZED: return nil
    }
  }
}

extension FinishReason {
  var message: Millrace_V1_FinishReason {
    switch self {
    case .stop: .stop
    case .stopString: .stopString
    case .length: .length
    }
  }
}

extension Usage {
  var message: Millrace_V1_Usage {
    var message = Millrace_V1_Usage()
    message.promptTokens = promptTokens
    message.cachedPromptTokens = cachedPromptTokens
    message.outputTokens = outputTokens
    message.draftedTokens = draftedTokens
    message.acceptedTokens = acceptedTokens
    message.draftRounds = draftRounds
    message.acceptedByPosition = acceptedByPosition
    return message
  }
}

extension OutputChunk {
  /// The chunk as events of one output each, of at most so many tokens, so that no message grows too
  /// large.
  func messages(maxTokens: Int = 1_024) -> [Millrace_V1_JobEvent] {
    runs.flatMap { run in
      stride(from: run.range.lowerBound, to: run.range.upperBound, by: maxTokens).map { start in
        let range = start..<min(start + maxTokens, run.range.upperBound)
        var event = Millrace_V1_JobEvent()
        event.tokens.firstIndex = Int64(firstIndex + start)
        event.tokens.output = Int32(run.output)
        event.tokens.tokenIds = Array(tokens[range])
        event.tokens.text = pieces[range].joined()
        event.tokens.logprobs = logprobs?[range].map(\.message) ?? []
        return event
      }
    }
  }
}

extension TokenLogprobs {
  var message: Millrace_V1_TokenLogprobs {
    var message = Millrace_V1_TokenLogprobs()
    message.logprob = logprob
    message.top = top.map { candidate in
      var message = Millrace_V1_TokenLogprobs.Candidate()
      message.tokenID = candidate.token
      message.logprob = candidate.logprob
      return message
    }
    return message
  }
}

extension WatchEvent {
  var messages: [Millrace_V1_JobEvent] {
    var event = Millrace_V1_JobEvent()
    switch self {
    case .state(let job): event.state = job.message()
    case .tokens(let chunk): return chunk.messages()
    case .finished(let job): event.finished = job.message()
    }
    return [event]
  }
}
