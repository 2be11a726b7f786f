extension ChatTemplate {
  private static let roles: Set<String> = ["system", "user", "assistant"]

  /// The prompt of a conversation as text, for people and logs. Encode ``segments(_:)`` instead:
  /// there, control tokens written inside a message stay text.
  public func prompt(_ messages: [ChatMessage]) -> String {
    segments(messages).map(\.text).joined()
  }

  /// The prompt of a conversation, ending where the assistant's answer begins.
  ///
  /// Only the template's own parts ask for control tokens; roles and contents do not.
  public func segments(_ messages: [ChatMessage]) -> [PromptSegment] {
    var output = Rendering()
    switch family {
    case .chatML:
      for message in messages {
        output.add("<|im_start|>", said: message.role, "\n")
        output.add("", said: message.content, "<|im_end|>\n")
      }
      output.add("<|im_start|>assistant\n")
    case .llama2(let systemBlock, let repeats, let trims):
      renderLlama2(messages, systemBlock, repeats, trims, &output)
    case .llama3:
      for message in messages {
        output.add("<|start_header_id|>", said: message.role, "<|end_header_id|>\n\n")
        output.add("", said: message.content.trimmed, "<|eot_id|>")
      }
      output.add("<|start_header_id|>assistant<|end_header_id|>\n\n")
    case .mistralV1: renderMistral(messages, leading: " ", trailing: " ", trims: false, &output)
    case .mistralV3: renderMistral(messages, leading: "", trailing: " ", trims: true, &output)
    case .mistralV3Tekken: renderMistral(messages, leading: "", trailing: "", trims: false, &output)
    case .mistralV7: renderMistralV7(messages, &output)
    case .zephyr(let end):
      for message in messages {
        // The mark is one token in some vocabularies, so a known role belongs to the template.
        if Self.roles.contains(message.role) {
          output.add("<|\(message.role)|>\n")
        } else {
          output.add("<|", said: message.role, "|>\n")
        }
        output.add("", said: message.content, end + "\n")
      }
      output.add("<|assistant|>\n")
    case .gemma: renderGemma(messages, &output)
    }
    return output.segments
  }

  private func renderLlama2(
    _ messages: [ChatMessage], _ systemBlock: Bool, _ repeats: Bool, _ trims: Bool,
    _ output: inout Rendering
  ) {
    output.add("[INST] ")
    var isInsideTurn = true
    for message in messages {
      let content = trims ? message.content.trimmed : message.content
      if !isInsideTurn { output.add(repeats ? "<s>[INST] " : "[INST] ") }
      isInsideTurn = true
      switch message.role {
      case "system" where systemBlock: output.add("<<SYS>>\n", said: content, "\n<</SYS>>\n\n")
      case "system": output.add("", said: content, "\n")
      case "user": output.add("", said: content, " [/INST]")
      default:
        output.add("", said: content, "</s>")
        isInsideTurn = false
      }
    }
  }

  private func renderMistral(
    _ messages: [ChatMessage], leading: String, trailing: String, trims: Bool,
    _ output: inout Rendering
  ) {
    var isInsideTurn = false
    for message in messages {
      if !isInsideTurn { output.add(leading + "[INST]" + trailing) }
      isInsideTurn = true
      switch message.role {
      case "system": output.add("", said: message.content, "\n\n")
      case "user": output.add("", said: message.content, leading + "[/INST]")
      default:
        output.add(trailing, said: trims ? message.content.trimmed : message.content, "</s>")
        isInsideTurn = false
      }
    }
  }

  private func renderMistralV7(_ messages: [ChatMessage], _ output: inout Rendering) {
    for message in messages {
      switch message.role {
      case "system": output.add("[SYSTEM_PROMPT] ", said: message.content, "[/SYSTEM_PROMPT]")
      case "user": output.add("[INST] ", said: message.content, "[/INST]")
      default: output.add(" ", said: message.content, "</s>")
      }
    }
  }

  /// Gemma knows no system message: it goes in front of what the user says next.
  private func renderGemma(_ messages: [ChatMessage], _ output: inout Rendering) {
    var system = ""
    for message in messages {
      if message.role == "system" {
        system += message.content.trimmed
        continue
      }
      let role = message.role == "assistant" ? "model" : message.role
      output.add("<start_of_turn>", said: role, "\n")
      if !system.isEmpty, role != "model" {
        output.add("", said: system, "\n\n")
        system = ""
      }
      output.add("", said: message.content.trimmed, "<end_of_turn>\n")
    }
    output.add("<start_of_turn>model\n")
  }
}

/// Segments in the making: neighbours of one kind are joined.
private struct Rendering {
  private(set) var segments: [PromptSegment] = []

  mutating func add(_ template: String) {
    append(template, isTemplate: true)
  }

  mutating func add(_ before: String, said: String, _ after: String) {
    append(before, isTemplate: true)
    append(said, isTemplate: false)
    append(after, isTemplate: true)
  }

  private mutating func append(_ text: String, isTemplate: Bool) {
    if text.isEmpty { return }
    if let last = segments.last, last.parsesSpecialTokens == isTemplate {
      segments[segments.count - 1] = PromptSegment(
        last.text + text, parsesSpecialTokens: isTemplate)
    } else {
      segments.append(PromptSegment(text, parsesSpecialTokens: isTemplate))
    }
  }
}

extension String {
  /// Without ASCII white space at both ends.
  fileprivate var trimmed: String {
    let blank: Set<Unicode.Scalar> = [" ", "\t", "\n", "\r", "\u{0B}", "\u{0C}"]
    var view = unicodeScalars[...]
    while let first = view.first, blank.contains(first) { view.removeFirst() }
    while let last = view.last, blank.contains(last) { view.removeLast() }
    return String(view)
  }
}
