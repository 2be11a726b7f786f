/// A message of a conversation.
public struct ChatMessage: Sendable, Hashable {
  /// Who speaks: `system`, `user` or `assistant`.
  public let role: String
  /// What is said.
  public let content: String

  /// Makes a message.
  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }
}

/// The form in which a model was taught conversations.
///
/// Model files carry the form as a Jinja program. It is not run: the well-known families are
/// recognised by what the program contains, as llama.cpp recognises them, and rendered by code. An
/// unknown program gives nil, which is better than a wrong prompt.
///
/// Begin-of-text is not part of the rendering; the caller adds it as for any prompt.
public struct ChatTemplate: Sendable, Hashable {
  /// The families that are known.
  public enum Family: Sendable, Hashable {
    /// `<|im_start|>role` … `<|im_end|>`: Qwen, Yi, Hermes, SmolLM and many others.
    case chatML
    /// `[INST] … [/INST]` of Llama 2. Without `systemBlock` the system message goes into the first
    /// turn bare; `repeatsBeginOfText` puts `<s>` before later turns.
    case llama2(systemBlock: Bool, repeatsBeginOfText: Bool, trimsContent: Bool)
    /// `<|start_header_id|>role<|end_header_id|>` … `<|eot_id|>`: Llama 3.
    case llama3
    /// ` [INST] … [/INST]` of Mistral's first tokenizer.
    case mistralV1
    /// `[INST] …[/INST]` of Mistral's third tokenizer.
    case mistralV3
    /// `[INST]…[/INST]` of Mistral's third tokenizer, the Tekken one.
    case mistralV3Tekken
    /// `[SYSTEM_PROMPT] …[/SYSTEM_PROMPT][INST] …[/INST]` of Mistral's seventh tokenizer.
    case mistralV7
    /// `<|user|>` … and an end-of-text piece: Zephyr, TinyLlama, StableLM.
    case zephyr(end: String)
    /// `<start_of_turn>user` … `<end_of_turn>`: Gemma.
    case gemma
  }

  /// The family.
  public let family: Family

  /// A template of a known family.
  public init(_ family: Family) {
    self.family = family
  }

  /// Recognises the family of a Jinja program, as found under `tokenizer.chat_template`; nil when
  /// it is none of the known ones. `endOfText` is the piece that the program calls `eos_token`.
  ///
  /// Programs of more than a mebibyte are not looked at.
  public init?(source: String, endOfText: String = "</s>") {
    guard source.utf8.count <= 1 << 20, let family = Self.family(of: source, endOfText) else {
      return nil
    }
    self.family = family
  }

  private static func family(of source: String, _ endOfText: String) -> Family? {
    if source.contains("<|im_start|>") {
      let others = ["<|im_sep|>", "<end_of_utterance>"]
      return others.contains(where: source.contains) ? nil : .chatML
    }
    if source.contains("[INST]") { return instructFamily(of: source) }
    if let end = zephyrEnd(of: source, endOfText) { return .zephyr(end: end) }
    if source.contains("<start_of_turn>") { return .gemma }
    if source.contains("<|start_header_id|>"), source.contains("<|end_header_id|>") {
      return .llama3
    }
    return nil
  }

  private static func instructFamily(of source: String) -> Family {
    if source.contains("[SYSTEM_PROMPT]") { return .mistralV7 }
    if source.contains("' [INST] ' + system_message") || source.contains("[AVAILABLE_TOOLS]") {
      if source.contains(" [INST]") { return .mistralV1 }
      return source.contains("\"[INST]\"") ? .mistralV3Tekken : .mistralV3
    }
    let trims = source.contains("content.strip()")
    let repeats = !trims && source.contains("bos_token + '[INST]")
    return .llama2(
      systemBlock: trims || repeats || source.contains("<<SYS>>"), repeatsBeginOfText: repeats,
      trimsContent: trims)
  }

  /// What ends a message of the user: stated in the expression that begins with `<|user|>`.
  private static func zephyrEnd(of source: String, _ endOfText: String) -> String? {
    guard !source.contains("<|end|>"), !source.contains("[gMASK]"),
      let user = source.firstRange(of: "<|user|>")
    else { return nil }
    let rest = source[user.upperBound...]
    let expression = rest[..<(rest.firstRange(of: "}}")?.lowerBound ?? rest.endIndex)]
    if expression.contains("<|endoftext|>") { return "<|endoftext|>" }
    if expression.contains("</s>") { return "</s>" }
    return expression.contains("eos_token") ? endOfText : nil
  }
}
