import Tokenizers

/// The text of one output as its tokens come: detokenized, with stop strings looked for.
struct OutputText {
  private var detokenizer: StreamingDetokenizer
  private var matcher: StopStringMatcher

  /// The text at the beginning of an output.
  init(tokenizer: any Tokenizer, stop: [String]) {
    detokenizer = StreamingDetokenizer(tokenizer)
    matcher = StopStringMatcher(stop)
  }

  /// Whether a stop string was found: the output ends there.
  var hasStopped: Bool { matcher.hasMatched }

  /// Text that is certain after one more token.
  mutating func append(_ token: Int32) -> String {
    matcher.append(detokenizer.append(token)).text
  }

  /// What was held back, when the output ends for another reason than a stop string.
  ///
  /// A character cut short can still complete a stop string: then `hasStopped` is true after this.
  mutating func finish() -> String {
    let text = matcher.append(detokenizer.finish()).text
    return hasStopped ? text : text + matcher.finish()
  }
}
