/// One thing wrong with a request, named as the API names the field.
public struct FieldViolation: Hashable, Sendable {
  /// The path of the field, such as `spec.sampling.temperature`.
  public var field: String
  public var description: String

  public init(field: String, description: String) {
    self.field = field
    self.description = description
  }
}

extension GenerationSpec {
  /// Everything that can be known to be wrong before the job is stored; empty when it can run.
  public func violations(catalog: any ModelCatalog, now: Timestamp) -> [FieldViolation] {
    var found = Violations()
    // By bytes, as the database compares: two spellings of one character are two names.
    let model = catalog.models.first { $0.name.utf8.elementsEqual(self.model.utf8) }
    if self.model.isEmpty {
      found.add("model", "is required; \(Self.choice(of: catalog.models))")
    } else if model == nil {
      found.add("model", "is not served here; \(Self.choice(of: catalog.models))")
    }
    checkPrompt(&found)
    checkSampling(&found)
    checkSchedule(now: now, &found)
    checkLabels(&found)
    if let model, found.isEmpty, let violation = catalog.violation(of: sampling, model: model.name)
    {
      found.add("sampling.\(violation.field)", violation.description)
    }
    if let model, found.isEmpty { checkFit(model, catalog: catalog, &found) }
    return found.list
  }

  /// The models that there are, as far as they fit into a line.
  private static func choice(of models: [ModelDescription]) -> String {
    var names: [String] = []
    var bytes = 0
    for model in models {
      bytes += model.name.utf8.count
      guard bytes <= 256 else { break }
      names.append(model.name)
    }
    let others = models.count - names.count
    return "one of: \(names.joined(separator: ", "))" + (others > 0 ? " and \(others) others" : "")
  }

  private func checkPrompt(_ found: inout Violations) {
    switch prompt {
    case nil: found.add("prompt", "is required; or token_ids, or messages")
    case .text(let text):
      found.checkText("prompt", text, maxBytes: JobLimits.promptBytes, mayBeEmpty: true)
    case .tokens(let tokens):
      if tokens.isEmpty { found.add("token_ids", "must not be empty") }
      if tokens.count > JobLimits.promptTokens {
        found.add("token_ids", "has \(tokens.count) tokens; the limit is \(JobLimits.promptTokens)")
      }
    case .messages(let messages):
      if messages.isEmpty { found.add("messages", "must not be empty") }
      if messages.count > JobLimits.messages {
        found.add("messages", "has \(messages.count) turns; the limit is \(JobLimits.messages)")
      }
      for (index, message) in messages.prefix(JobLimits.messages).enumerated() {
        if !["system", "user", "assistant"].contains(message.role) {
          found.add("messages[\(index)].role", "must be system, user or assistant")
        }
        found.checkText(
          "messages[\(index)].content", message.content, maxBytes: JobLimits.promptBytes,
          mayBeEmpty: true)
      }
      if messages.reduce(0, { $0 + $1.content.utf8.count }) > JobLimits.promptBytes {
        found.add("messages", "are over \(JobLimits.promptBytes) bytes together")
      }
    }
  }

  private func checkSampling(_ found: inout Violations) {
    found.check("sampling.max_tokens", sampling.maxTokens, in: 1...JobLimits.maxTokens)
    found.check("sampling.temperature", sampling.temperature, in: 0...100)
    found.check("sampling.top_k", sampling.topK, in: 0...Int32.max)
    found.check("sampling.min_p", sampling.minP, in: 0...1)
    found.check("sampling.presence_penalty", sampling.presencePenalty, in: -100...100)
    found.check("sampling.frequency_penalty", sampling.frequencyPenalty, in: -100...100)
    if !(sampling.topP > 0 && sampling.topP <= 1) {
      found.add("sampling.top_p", "must be over 0 and at most 1")
    }
    found.check("sampling.repetition_penalty", sampling.repetitionPenalty, in: 0.01...100)
    if let count = sampling.logprobs {
      found.check("sampling.logprobs", count, in: 0...JobLimits.logprobs)
    }
    if sampling.stop.count > JobLimits.stopStrings {
      found.add("sampling.stop", "has \(sampling.stop.count) strings; the limit is 16")
    }
    for (index, stop) in sampling.stop.prefix(JobLimits.stopStrings).enumerated() {
      found.checkText("sampling.stop[\(index)]", stop, maxBytes: JobLimits.stopStringBytes)
    }
    checkConstraint(&found)
    checkStrategy(&found)
    if sampling.logitBias.count > JobLimits.logitBiases {
      found.add("sampling.logit_bias", "has over \(JobLimits.logitBiases) entries")
    }
    if sampling.logitBias.values.contains(where: { !(abs($0) <= 1_000) }) {
      found.add("sampling.logit_bias", "holds a bias outside -1000...1000")
    }
  }

  private func checkConstraint(_ found: inout Violations) {
    if let typicalP = sampling.typicalP, !(typicalP > 0 && typicalP <= 1) {
      found.add("sampling.typical_p", "must be over 0 and at most 1")
    }
    if let least = sampling.minTokens {
      found.check("sampling.min_tokens", least, in: 0...max(sampling.maxTokens, 0))
      if least > 0, sampling.jsonSchema != nil || sampling.grammar != nil {
        found.add("sampling.min_tokens", "does not go together with a constraint")
      }
    }
    if let count = sampling.stopTokens?.count, count > JobLimits.stopTokens {
      found.add(
        "sampling.stop_token_ids", "has \(count) tokens; the limit is \(JobLimits.stopTokens)")
    }
    for (field, text) in [("json_schema", sampling.jsonSchema), ("grammar", sampling.grammar)] {
      guard let text else { continue }
      found.checkText("sampling.\(field)", text, maxBytes: JobLimits.constraintBytes)
    }
  }

  private func checkStrategy(_ found: inout Violations) {
    let outputs = sampling.outputs ?? 1
    found.check("sampling.n", outputs, in: 1...JobLimits.outputs)
    if (2...JobLimits.outputs).contains(outputs),
      Int(outputs) * Int(sampling.maxTokens) > JobLimits.outputTokens
    {
      found.add(
        "sampling.n",
        "times max_tokens is over \(JobLimits.outputTokens); ask for fewer or shorter outputs")
    }
    switch sampling.strategy {
    case nil:
      if outputs > 1, sampling.temperature == 0 {
        found.add(
          "sampling.n",
          "would give the same output each time; ask for a temperature over 0, or for beam")
      }
    case .beam(let width, let lengthPenalty, _):
      found.check("sampling.beam.width", width, in: JobLimits.beamWidth)
      found.check("sampling.beam.length_penalty", lengthPenalty, in: JobLimits.lengthPenalty)
      if outputs <= JobLimits.outputs, JobLimits.beamWidth.contains(width), outputs > width {
        found.add("sampling.n", "must be at most the width of the beam, which is \(width)")
      }
    case .contrastive(let topK, let alpha):
      found.check("sampling.contrastive.top_k", topK, in: JobLimits.contrastiveTopK)
      found.check("sampling.contrastive.alpha", alpha, in: 0...1)
      if (2...JobLimits.outputs).contains(outputs) {
        found.add("sampling.n", "must be 1 with contrastive, which finds one text")
      }
    }
  }

  private func checkSchedule(now: Timestamp, _ found: inout Violations) {
    if let draftTokens {
      found.check("speculation.draft_tokens", draftTokens, in: 1...JobLimits.draftTokens)
    }
    found.check("priority", priority, in: JobLimits.priority)
    found.check("max_attempts", maxAttempts, in: 1...JobLimits.maxAttempts)
    if let deadline, deadline <= now { found.add("deadline", "has passed already") }
    if let deadline, let runAfter, deadline <= runAfter {
      found.add("deadline", "must be after run_after")
    }
  }

  private func checkLabels(_ found: inout Violations) {
    if labels.count > JobLimits.labels {
      found.add("labels", "has \(labels.count) entries; the limit is \(JobLimits.labels)")
      return
    }
    for (key, value) in labels.sorted(by: { $0.key < $1.key }) {
      found.checkText("labels.key", key, maxBytes: JobLimits.labelKeyBytes)
      found.checkText(
        "labels.value", value, maxBytes: JobLimits.labelValueBytes, mayBeEmpty: true)
    }
  }

  /// Whether prompt and output can fit into the model at all.
  private func checkFit(
    _ model: ModelDescription, catalog: any ModelCatalog, _ found: inout Violations
  ) {
    if case .tokens(let tokens) = prompt,
      let index = tokens.firstIndex(where: { $0 < 0 || $0 >= model.vocabularySize })
    {
      found.add("token_ids[\(index)]", "must be in 0..<\(model.vocabularySize)")
      return
    }
    if let token = sampling.logitBias.keys.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
      found.add("sampling.logit_bias", "token \(token) is not in 0..<\(model.vocabularySize)")
    }
    if case .messages = prompt, !model.hasChatTemplate {
      found.add("messages", "model \(model.name) has no chat template; send a prompt instead")
      return
    }
    guard let prompt else { return }
    let least = catalog.leastPromptTokenCount(prompt, model: model.name)
    guard least < Int(model.contextLength) else {
      found.add(
        prompt.field,
        "becomes at least \(least) tokens; the model's context of \(model.contextLength) must also "
          + "hold at least one token of output")
      return
    }
    do {
      let count = try catalog.promptTokenCount(prompt, model: model.name)
      if count == 0 { found.add(prompt.field, "becomes no tokens at all") }
      let violation = catalog.violation(
        of: sampling, promptTokens: count, model: model.name)
      if let violation { found.add("sampling.\(violation.field)", violation.description) }
      if count >= Int(model.contextLength) {
        found.add(
          prompt.field,
          "becomes \(count) tokens; the model's context of \(model.contextLength) must also "
            + "hold at least one token of output")
      }
    } catch {
      found.add(prompt.field, error.message)
    }
  }
}

extension Prompt {
  /// The API's name of the form the prompt has.
  fileprivate var field: String {
    switch self {
    case .text: "prompt"
    case .tokens: "token_ids"
    case .messages: "messages"
    }
  }
}

/// A growing list of violations below `spec.`, bounded.
private struct Violations {
  private(set) var list: [FieldViolation] = []
  var isEmpty: Bool { list.isEmpty }

  mutating func add(_ field: String, _ description: String) {
    guard list.count < 100 else { return }
    list.append(FieldViolation(field: "spec." + field, description: description))
  }

  mutating func check<Value: Comparable & Sendable>(
    _ field: String, _ value: Value, in range: ClosedRange<Value>
  ) {
    guard !range.contains(value) else { return }
    add(field, "must be between \(range.lowerBound) and \(range.upperBound)")
  }

  mutating func checkText(
    _ field: String, _ text: String, maxBytes: Int, mayBeEmpty: Bool = false
  ) {
    if text.isEmpty, !mayBeEmpty { add(field, "must not be empty") }
    if text.utf8.count > maxBytes {
      add(field, "has \(text.utf8.count) bytes; the limit is \(maxBytes)")
    }
    if text.utf8.contains(0) {
      add(field, "holds the character U+0000, which the database cannot store")
    }
  }
}
