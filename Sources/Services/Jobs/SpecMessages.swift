import JobQueue
import Messages
import SwiftProtobuf

extension GenerationSpec {
  /// Reads a spec as the client sent it, defaults filled in.
  ///
  /// Adds what cannot be represented to `violations`; values out of range pass, for
  /// `violations(catalog:now:)` to find.
  init(
    _ message: Millrace_V1_GenerationSpec, seed drawnSeed: UInt64,
    violations: inout [FieldViolation]
  ) {
    let prompt: Prompt?
    switch message.input {
    case .prompt(let text): prompt = .text(text)
    case .tokenIds(let tokens): prompt = .tokens(tokens.ids)
    case .messages(let turns):
      prompt = .messages(
        turns.messages.map { ChatMessage(role: $0.role, content: $0.content) })
    case nil:
      prompt = nil
      violations.append(
        FieldViolation(
          field: "spec.prompt", description: "is required; or token_ids, or messages"))
    }
    let speculation: Speculation
    switch message.speculation.mode {
    case .unspecified, .auto: speculation = .automatic
    case .off: speculation = .off
    case .draft: speculation = .draft
    case .lookup: speculation = .lookup
    case .both: speculation = .both
    case .UNRECOGNIZED(let value):
      speculation = .off
      violations.append(
        FieldViolation(field: "spec.speculation.mode", description: "\(value) is not a mode"))
    }
    self.init(
      model: message.model, prompt: prompt,
      sampling: SamplingParameters(message.sampling, seed: drawnSeed), speculation: speculation,
      draftTokens: message.speculation.draftTokens == 0 ? nil : message.speculation.draftTokens,
      priority: message.priority,
      runAfter: message.hasRunAfter
        ? Timestamp(message.runAfter, "spec.run_after", &violations) : nil,
      deadline: message.hasDeadline
        ? Timestamp(message.deadline, "spec.deadline", &violations) : nil,
      maxAttempts: message.maxAttempts == 0 ? JobLimits.defaultMaxAttempts : message.maxAttempts,
      labels: message.labels)
  }

  /// The spec as clients see it, with its input where it was read.
  var message: Millrace_V1_GenerationSpec {
    var message = Millrace_V1_GenerationSpec()
    message.model = model
    switch prompt {
    case .text(let text): message.prompt = text
    case .tokens(let tokens): message.tokenIds.ids = tokens
    case .messages(let turns):
      message.messages.messages = turns.map { turn in
        var message = Millrace_V1_Message()
        message.role = turn.role
        message.content = turn.content
        return message
      }
    case nil: break
    }
    message.sampling = sampling.message
    message.speculation.mode = speculation.mode
    message.speculation.draftTokens = draftTokens ?? 0
    message.priority = priority
    if let runAfter { message.runAfter = runAfter.message }
    if let deadline { message.deadline = deadline.message }
    message.maxAttempts = maxAttempts
    message.labels = labels
    return message
  }
}

extension SamplingParameters {
  init(_ message: Millrace_V1_SamplingParameters, seed drawnSeed: UInt64) {
    var temperature = message.hasTemperature ? message.temperature : 1
    if case .greedy = message.strategy { temperature = 0 }
    self.init(
      maxTokens: message.maxTokens == 0 ? JobLimits.defaultMaxTokens : message.maxTokens,
      temperature: temperature, topP: message.hasTopP ? message.topP : 1, topK: message.topK,
      minP: message.minP,
      repetitionPenalty: message.hasRepetitionPenalty ? message.repetitionPenalty : 1,
      presencePenalty: message.presencePenalty, frequencyPenalty: message.frequencyPenalty,
      seed: message.hasSeed ? message.seed : drawnSeed, stop: message.stop,
      logprobs: message.hasLogprobs ? message.logprobs : nil, logitBias: message.logitBias,
      typicalP: message.hasTypicalP ? message.typicalP : nil,
      minTokens: message.minTokens == 0 ? nil : message.minTokens,
      stopTokens: message.stopTokenIds.isEmpty ? nil : message.stopTokenIds,
      outputs: message.n == 0 || message.n == 1 ? nil : message.n,
      strategy: Strategy(message.strategy))
    switch message.constraint {
    case .jsonSchema(let schema): jsonSchema = schema
    case .grammar(let text): grammar = text
    case nil: break
    }
  }

  var message: Millrace_V1_SamplingParameters {
    var message = Millrace_V1_SamplingParameters()
    message.maxTokens = maxTokens
    message.temperature = temperature
    message.topP = topP
    message.topK = topK
    message.minP = minP
    message.repetitionPenalty = repetitionPenalty
    message.presencePenalty = presencePenalty
    message.frequencyPenalty = frequencyPenalty
    message.seed = seed
    message.stop = stop
    if let logprobs { message.logprobs = logprobs }
    message.logitBias = logitBias
    if let typicalP { message.typicalP = typicalP }
    message.minTokens = minTokens ?? 0
    message.stopTokenIds = stopTokens ?? []
    if let jsonSchema { message.jsonSchema = jsonSchema }
    if let grammar { message.grammar = grammar }
    message.n = outputs ?? 1
    message.strategy =
      strategy?.message
      ?? (temperature == 0
        ? .greedy(Millrace_V1_GreedyStrategy()) : .sample(Millrace_V1_SampleStrategy()))
    return message
  }
}

extension SamplingParameters.Strategy {
  /// `nil` for what is no search.
  init?(_ message: Millrace_V1_SamplingParameters.OneOf_Strategy?) {
    switch message {
    case .greedy, .sample, nil: return nil
    case .beam(let beam):
      self = .beam(
        width: beam.width == 0 ? JobLimits.defaultBeamWidth : beam.width,
        lengthPenalty: beam.hasLengthPenalty ? beam.lengthPenalty : JobLimits.defaultLengthPenalty,
        stopsEarly: beam.earlyStopping)
    case .contrastive(let contrastive):
      self = .contrastive(
        topK: contrastive.topK == 0 ? JobLimits.defaultContrastiveTopK : contrastive.topK,
        alpha: contrastive.hasAlpha ? contrastive.alpha : JobLimits.defaultContrastiveAlpha)
    }
  }

  var message: Millrace_V1_SamplingParameters.OneOf_Strategy {
    switch self {
    case .beam(let width, let lengthPenalty, let stopsEarly):
      var beam = Millrace_V1_BeamStrategy()
      beam.width = width
      beam.lengthPenalty = lengthPenalty
      beam.earlyStopping = stopsEarly
      return .beam(beam)
    case .contrastive(let topK, let alpha):
      var contrastive = Millrace_V1_ContrastiveStrategy()
      contrastive.topK = topK
      contrastive.alpha = alpha
      return .contrastive(contrastive)
    }
  }
}

extension Timestamp {
  /// The years 1 to 9999, as `google.protobuf.Timestamp` and PostgreSQL both hold them.
  private static let seconds: ClosedRange<Int64> = -62_135_596_800...253_402_300_799

  init(
    _ message: Google_Protobuf_Timestamp, _ field: String, _ violations: inout [FieldViolation]
  ) {
    guard Self.seconds.contains(message.seconds), 0..<1_000_000_000 ~= message.nanos else {
      self.init(microsecondsSinceEpoch: 0)
      violations.append(
        FieldViolation(field: field, description: "must be in the years 1 to 9999"))
      return
    }
    self.init(
      microsecondsSinceEpoch: message.seconds * 1_000_000 + Int64(message.nanos / 1_000))
  }

  var message: Google_Protobuf_Timestamp {
    let (seconds, microseconds) = microsecondsSinceEpoch.quotientAndRemainder(
      dividingBy: 1_000_000)
    let isBefore = microseconds < 0
    return Google_Protobuf_Timestamp(
      seconds: isBefore ? seconds - 1 : seconds,
      nanos: Int32(isBefore ? microseconds + 1_000_000 : microseconds) * 1_000)
  }
}

extension Speculation {
  fileprivate var mode: Millrace_V1_Speculation.Mode {
    switch self {
    case .automatic: .auto
    case .off: .off
    case .draft: .draft
    case .lookup: .lookup
    case .both: .both
    }
  }
}
