import ArgumentParser
import ModelFormats

struct Inspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what a model file holds.",
    discussion: "Example: millrace inspect model.gguf --tensors")

  @Argument(help: "A GGUF file.")
  var path: String

  @Flag(help: "List every tensor.")
  var tensors = false

  @Flag(help: "List every metadata key.")
  var metadata = false

  @Flag(help: "Compute the file's fingerprint, which takes reading all of it.")
  var fingerprint = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() async throws {
    try explaining {
      let file = try GGUFFile(path: path)
      if json {
        try Output.json(Inspected(file, self))
      } else {
        show(file)
      }
    }
  }

  private func show(_ file: GGUFFile) {
    let summary = file.summary
    var table = Table("PROPERTY", "VALUE")
    table.add("format", "GGUF version \(summary.version)")
    table.add("architecture", summary.architecture.map { printable($0, limit: 80) } ?? "none")
    if let name = summary.name { table.add("name", printable(name, limit: 200)) }
    table.add("file", "\(summary.fileBytes) bytes")
    table.add("parameters", "\(summary.parameters) in \(summary.tensors) tensors")
    for type in summary.types {
      table.add("  \(type.type)", "\(type.tensors) tensors, \(type.bytes) bytes")
    }
    if fingerprint { table.add("fingerprint", file.computeFingerprint()) }
    if let configuration = try? ModelConfiguration(file) {
      table.add("layers", "\(configuration.layers), width \(configuration.width)")
      table.add(
        "attention",
        "\(configuration.attentionHeads) query and \(configuration.keyValueHeads) KV heads of "
          + "\(configuration.headDimension)")
      table.add("feed-forward", "\(configuration.feedForwardLength)")
      table.add("vocabulary", "\(configuration.vocabularySize) tokens")
      table.add("context", "\(configuration.contextLength) tokens")
    }
    Output.line(table.text)
    if metadata {
      Output.line("")
      for (key, value) in file.metadata.values.sorted(by: { $0.key < $1.key }) {
        Output.line("\(printable(key, limit: 200)) = \(printable(value.brief, limit: 201))")
      }
    }
    if tensors {
      Output.line("")
      var table = Table("TENSOR", "TYPE", "SHAPE")
      for tensor in file.tensors {
        let shape = tensor.shape.map(String.init).joined(separator: "x")
        table.add(printable(tensor.name, limit: 64), "\(tensor.type)", shape)
      }
      Output.line(table.text)
    }
  }
}

/// What `inspect --json` prints.
private struct Inspected: Encodable {
  struct Tensor: Encodable {
    var name: String
    var type: String
    var shape: [Int]
  }

  var summary: GGUFSummary
  var fingerprint: String?
  var metadata: [String: String]?
  var tensors: [Tensor]?

  init(_ file: GGUFFile, _ flags: Inspect) {
    summary = file.summary
    fingerprint = flags.fingerprint ? file.computeFingerprint() : nil
    if flags.metadata { metadata = file.metadata.values.mapValues(\.brief) }
    if flags.tensors {
      tensors = file.tensors.map {
        Tensor(name: $0.name, type: "\($0.type)", shape: $0.shape.map { Int($0) })
      }
    }
  }
}

extension String {
  /// At most so many scalars, for one Character can be of any size.
  fileprivate func firstScalars(_ limit: Int) -> String {
    let isLonger = !unicodeScalars.dropFirst(limit).isEmpty
    return isLonger ? String(unicodeScalars.prefix(limit)) + "…" : self
  }
}

extension GGUFValue {
  /// The value on one short line; arrays by their type and count.
  fileprivate var brief: String {
    switch self {
    case .float32(let value): "\(value)"
    case .float64(let value): "\(value)"
    case .bool(let value): "\(value)"
    case .string(let value): value.firstScalars(200)
    case .array: typeName
    default: integer.map(String.init) ?? typeName
    }
  }
}
