import ArgumentParser

/// How to sample, for a job and for a generation without a service.
struct SamplingFlags: ParsableArguments {
  @Option(help: "The most output tokens.")
  var maxTokens: Int32 = 256

  @Option(help: "0 chooses the likeliest token each time; above 0 is random.")
  var temperature: Float = 1

  @Option(help: "Keep the likeliest tokens whose probabilities sum to this.")
  var topP: Float = 1

  @Option(help: "Keep this many of the likeliest tokens; 0 keeps all.")
  var topK: Int32 = 0

  @Option(help: "Drop tokens less likely than this share of the likeliest one's probability.")
  var minP: Float = 0

  @Option(help: "Makes tokens that occurred already less likely, above 1.")
  var repetitionPenalty: Float = 1

  @Option(help: "Subtracted from the logits of tokens that are in the output.")
  var presencePenalty: Float = 0

  @Option(help: "Subtracted from a token's logit for each time it is in the output.")
  var frequencyPenalty: Float = 0

  @Option(help: "The seed of the random numbers; the same seed gives the same text. [drawn]")
  var seed: UInt64?

  @Option(help: "End before this text. May be repeated.")
  var stop: [String] = []

  @Option(help: "Report log-probabilities: 0 of the chosen tokens, N also of the N likeliest.")
  var logprobs: Int32?
}
