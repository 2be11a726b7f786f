/// Output tokens of one job that were committed together: one row of the store.
///
/// A job's tokens are one sequence, in the order of their commit, also where the job has several
/// outputs; each of them then belongs to one.
///
/// All arrays have one element per token.
public struct OutputChunk: Hashable, Sendable {
  /// The index of the first token, among those of all outputs.
  public var firstIndex: Int
  public var tokens: [Int32]
  /// The text that became final with each token. A piece may be empty (half a character, the
  /// possible start of a stop string) and the next one of the same output longer; joined, those of
  /// an output are the output.
  public var pieces: [String]
  /// When each token left the engine, in microseconds after the job's claim.
  public var offsetsMicroseconds: [Int64]
  /// Natural-log probabilities of the tokens, where the job asks for them.
  public var logprobs: [TokenLogprobs]?
  /// Which output each token belongs to, from 0; `nil` where all are of output 0.
  public var outputs: [Int32]?

  public init(
    firstIndex: Int, tokens: [Int32], pieces: [String], offsetsMicroseconds: [Int64],
    logprobs: [TokenLogprobs]? = nil, outputs: [Int32]? = nil
  ) {
    self.firstIndex = firstIndex
    self.tokens = tokens
    self.pieces = pieces
    self.offsetsMicroseconds = offsetsMicroseconds
    self.logprobs = logprobs
    self.outputs = outputs
  }

  /// The index after the last token.
  public var endIndex: Int { firstIndex + tokens.count }

  /// The text of all tokens, whichever output they are of.
  public var text: String { pieces.joined() }

  /// The part of the chunk from a token index on.
  public func dropping(before index: Int) -> OutputChunk {
    let count = min(max(index - firstIndex, 0), tokens.count)
    guard count > 0 else { return self }
    return OutputChunk(
      firstIndex: firstIndex + count, tokens: Array(tokens[count...]),
      pieces: Array(pieces[count...]), offsetsMicroseconds: Array(offsetsMicroseconds[count...]),
      logprobs: logprobs.map { Array($0[count...]) }, outputs: outputs.map { Array($0[count...]) })
  }

  /// The part of the chunk before an output index.
  public func prefix(before index: Int) -> OutputChunk {
    let count = min(max(index - firstIndex, 0), tokens.count)
    var part = OutputChunk(
      firstIndex: firstIndex, tokens: Array(tokens[..<count]), pieces: Array(pieces[..<count]),
      offsetsMicroseconds: Array(offsetsMicroseconds[..<count]),
      logprobs: logprobs.map { Array($0[..<count]) })
    part.outputs = outputs.map { Array($0[..<count]) }
    return part
  }

  /// Appends a chunk that begins where this one ends.
  public mutating func append(_ next: OutputChunk) {
    precondition(next.firstIndex == endIndex, "chunks must be contiguous")
    if outputs != nil || next.outputs != nil {
      var numbers = outputNumbers
      outputs = nil  // so that the numbers are not copied
      numbers += next.outputNumbers
      outputs = numbers
    }
    tokens += next.tokens
    pieces += next.pieces
    offsetsMicroseconds += next.offsetsMicroseconds
    if let more = next.logprobs { logprobs = (logprobs ?? []) + more }
  }

  /// Which output each token belongs to, also where all are of output 0.
  private var outputNumbers: [Int32] { outputs ?? Array(repeating: 0, count: tokens.count) }

  /// The tokens in pieces of one output each, in their order: the output and the places of its
  /// tokens in the arrays.
  public var runs: [(output: Int, range: Range<Int>)] {
    guard let outputs else { return tokens.isEmpty ? [] : [(0, tokens.indices)] }
    var runs: [(output: Int, range: Range<Int>)] = []
    for (index, output) in outputs.enumerated() {
      if let last = runs.last, last.output == Int(output) {
        runs[runs.count - 1].range = last.range.lowerBound..<index + 1
      } else {
        runs.append((Int(output), index..<index + 1))
      }
    }
    return runs
  }
}

/// The log-probability of a chosen token, and of the likeliest ones beside it.
public struct TokenLogprobs: Hashable, Sendable {
  public var logprob: Float
  public var top: [Candidate]

  public struct Candidate: Hashable, Sendable {
    public var token: Int32
    public var logprob: Float

    public init(token: Int32, logprob: Float) {
      self.token = token
      self.logprob = logprob
    }
  }

  public init(logprob: Float, top: [Candidate] = []) {
    self.logprob = logprob
    self.top = top
  }
}

/// A piece of a job's committed output, together with the job's state at the same moment.
public struct OutputPage: Hashable, Sendable {
  /// The job without prompt. Its `usage.outputTokens` counts all that is committed.
  public var job: Job
  /// Contiguous, from the index asked for; empty when nothing is committed beyond it.
  public var chunks: [OutputChunk]

  public init(job: Job, chunks: [OutputChunk]) {
    self.job = job
    self.chunks = chunks
  }
}
