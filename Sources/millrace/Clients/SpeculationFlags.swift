import ArgumentParser
import Inference
import Messages

/// Who drafts tokens ahead, for a job and for a generation without a service.
struct SpeculationFlags: ParsableArguments {
  enum Mode: String, ExpressibleByArgument, CaseIterable {
    case auto, off, draft, lookup, both
  }

  @Option(
    name: .customLong("speculation"),
    help: ArgumentHelp(
      """
      Who drafts tokens ahead, to be verified together: auto (whatever pays), off, draft (the \
      draft model), lookup (the text itself, where its last tokens occurred before) or both. The \
      output is the same. [auto]
      """,
      valueName: "mode"))
  var mode: Mode?

  @Option(
    parsing: .unconditional, help: "Tokens to draft at a time, 1 to 16. [as many as pay]")
  var draftTokens: Int?

  func validate() throws {
    if let draftTokens, !(1...Speculation.maximumTokens).contains(draftTokens) {
      throw ValidationError("--draft-tokens must be from 1 to \(Speculation.maximumTokens)")
    }
  }

  /// The engine's form.
  var speculation: Speculation {
    Speculation(
      mode.flatMap { Speculation.Method(rawValue: $0.rawValue) } ?? .both, tokens: draftTokens)
  }

  /// The service's form.
  var message: Millrace_V1_Speculation {
    var message = Millrace_V1_Speculation()
    switch mode ?? .auto {
    case .auto: message.mode = .auto
    case .off: message.mode = .off
    case .draft: message.mode = .draft
    case .lookup: message.mode = .lookup
    case .both: message.mode = .both
    }
    message.draftTokens = Int32(draftTokens ?? 0)
    return message
  }
}
