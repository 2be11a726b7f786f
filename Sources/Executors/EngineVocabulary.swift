import Inference
import JobQueue

// The engine knows nothing of jobs, and the queue nothing of engines; this is where their words
// meet.

extension TokenLogprobs {
  init(_ token: GeneratedToken) {
    self.init(
      logprob: token.logprob ?? 0,
      top: token.topLogprobs.map { Candidate(token: $0.token, logprob: $0.logprob) })
  }
}

extension JobQueue.FinishReason {
  init(_ reason: Inference.FinishReason) {
    switch reason {
    case .stop: self = .stop
    case .stopString: self = .stopString
    case .length: self = .length
    }
  }
}

extension JobFailure {
  init(_ error: InferenceError) {
    switch error.code {
    case .requestInvalid, .promptTooLong:
      self.init(code: .invalidArgument, message: error.message)
    default:
      self.init(code: .engine, message: error.description)
    }
  }
}
