import ArgumentParser

/// A token and what is added to its logit, as `--logit-bias ID=BIAS` gives it.
struct LogitBias: ExpressibleByArgument {
  var token: Int32
  var bias: Float

  init?(argument: String) {
    let parts = argument.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, let token = Int32(parts[0]), let bias = Float(parts[1]) else {
      return nil
    }
    self.token = token
    self.bias = bias
  }
}

/// How to sample, for a job and for a generation without a service.
struct SamplingFlags: ParsableArguments {
  @Option(parsing: .unconditional, help: "The most output tokens.")
  var maxTokens: Int32 = 256

  @Option(
    parsing: .unconditional, help: "0 chooses the likeliest token each time; above 0 is random.")
  var temperature: Float = 1

  @Flag(help: "Choose the likeliest token each time, whatever --temperature says.")
  var greedy = false

  @Option(
    parsing: .unconditional, help: "Keep the likeliest tokens whose probabilities sum to this.")
  var topP: Float = 1

  @Option(
    parsing: .unconditional,
    help: "Keep the tokens of nearest to the expected information whose probabilities sum to this.")
  var typicalP: Float = 1

  @Option(parsing: .unconditional, help: "Keep this many of the likeliest tokens; 0 keeps all.")
  var topK: Int32 = 0

  @Option(
    parsing: .unconditional,
    help: "Drop tokens less likely than this share of the likeliest one's probability.")
  var minP: Float = 0

  @Option(parsing: .unconditional, help: "Makes tokens that occurred already less likely, above 1.")
  var repetitionPenalty: Float = 1

  @Option(
    parsing: .unconditional, help: "Subtracted from the logits of tokens that are in the output.")
  var presencePenalty: Float = 0

  @Option(
    parsing: .unconditional,
    help: "Subtracted from a token's logit for each time it is in the output.")
  var frequencyPenalty: Float = 0

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Added to the logit of a token, by its id: -1000 to 1000. May be repeated. [none]",
      valueName: "id=bias"))
  var logitBias: [LogitBias] = []

  @Option(
    parsing: .unconditional,
    help: "The seed of the random numbers; the same seed gives the same text. [drawn]")
  var seed: UInt64?

  @Option(
    parsing: .unconditionalSingleValue, help: "End before this text. May be repeated. [none]")
  var stop: [String] = []

  @Option(
    parsing: .unconditional,
    help: "Report log-probabilities: 0 of the chosen tokens, N also of the N likeliest. [none]")
  var logprobs: Int32?

  @Option(
    parsing: .unconditional, help: "Output tokens before which none is chosen that would end it.")
  var minTokens: Int32 = 0

  @Option(
    parsing: .unconditionalSingleValue,
    help: "End with this token, by its id. May be repeated. [none]")
  var stopTokenID: [Int32] = []

  @Option(
    help: ArgumentHelp(
      "The text is to be a JSON document that is valid under the schema in this file. [none]",
      valueName: "file"))
  var jsonSchema: String?

  @Option(
    help: ArgumentHelp(
      "The text is to be of the grammar in this file, in llama.cpp's notation. [none]",
      valueName: "file"))
  var grammar: String?

  @Option(
    parsing: .unconditional, help: "How many outputs: samples, or the best of a beam search.")
  var n: Int32 = 1

  @Option(
    parsing: .unconditional,
    help: "Beam search over this many beginnings at a time, 2 to 64. [no beam search]")
  var beamWidth: Int32?

  @Option(
    parsing: .unconditional,
    help: "In beam search: over 0 favours long texts, below 0 short ones. [1]")
  var lengthPenalty: Float?

  @Flag(help: "In beam search: end as soon as so many texts as the width have ended.")
  var earlyStopping = false

  @Option(
    name: .customLong("contrastive-top-k"), parsing: .unconditional,
    help: "Contrastive search among this many of the likeliest tokens, 2 to 64. [4 if asked for]")
  var contrastiveTopK: Int32?

  @Option(
    parsing: .unconditional,
    help: """
      Contrastive search in which being like the text so far counts this much against a token, 0 to \
      1. [0.6 if asked for]
      """)
  var contrastiveAlpha: Float?

  func validate() throws {
    guard beamWidth == nil || contrastiveTopK == nil && contrastiveAlpha == nil else {
      throw ValidationError("give one of --beam-width and --contrastive-…")
    }
    guard beamWidth != nil || lengthPenalty == nil && !earlyStopping else {
      throw ValidationError("--length-penalty and --early-stopping go with --beam-width")
    }
    guard !greedy || beamWidth == nil && contrastiveTopK == nil && contrastiveAlpha == nil else {
      throw ValidationError("give one of --greedy, --beam-width and --contrastive-…")
    }
    guard (1...64).contains(n) else { throw ValidationError("--n must be from 1 to 64") }
    guard jsonSchema == nil || grammar == nil else {
      throw ValidationError("give one of --json-schema and --grammar")
    }
    guard (0...max(maxTokens, 0)).contains(minTokens) else {
      throw ValidationError("--min-tokens must be from 0 to --max-tokens")
    }
    guard maxTokens > 0 else { throw ValidationError("--max-tokens must be at least 1") }
    guard Set(logitBias.map(\.token)).count == logitBias.count else {
      throw ValidationError("give each token one --logit-bias")
    }
  }

  /// What is added to which token's logit.
  var logitBiases: [Int32: Float] {
    Dictionary(logitBias.map { ($0.token, $0.bias) }) { first, _ in first }
  }
}
