import Foundation
import Inference
import Tensors

/// Rates over batch sizes, held against what the machine can do at most.
struct BenchSuite: Encodable {
  /// One batch size.
  struct Row: Encodable {
    var result: BenchResult
    /// Of the int8 products that the machine can add up; absent for float weights.
    var prefillShareOfInt8Peak: Double?
    var decodeShareOfInt8Peak: Double?
    /// Of the bytes that the machine can read: all weights once a step.
    var decodeShareOfBandwidth: Double
  }

  var bytesPerSecond: Double
  var int8MultiplyAddsPerSecond: Double
  var rows: [Row]

  init(limits: MachineLimits, cost: ModelCost, results: [BenchResult]) {
    bytesPerSecond = limits.bytesPerSecond
    int8MultiplyAddsPerSecond = limits.multiplyAddsPerSecond
    rows = results.map { result in
      func share(_ products: Double) -> Double? {
        cost.isInt8 ? products / limits.multiplyAddsPerSecond : nil
      }
      let prompt =
        Double(cost.tokenMultiplyAdds)
        + Double(cost.logitsMultiplyAdds) / Double(result.promptTokens)
      let output = Double(cost.tokenMultiplyAdds + cost.logitsMultiplyAdds)
      let steps = result.decodeTokensPerSecond / Double(result.batch)
      return Row(
        result: result, prefillShareOfInt8Peak: share(result.prefillTokensPerSecond * prompt),
        decodeShareOfInt8Peak: share(result.decodeTokensPerSecond * output),
        decodeShareOfBandwidth: steps * Double(cost.stepBytes) / limits.bytesPerSecond)
    }
  }

  /// Prints a table, or JSON, and writes `path`.json and `path`.svg.
  func show(json: Bool, path: String?) throws {
    if let path {
      try write(try Output.jsonText(self) + "\n", to: path + ".json")
      try write(BenchPlot(rows.map(\.result)).svg, to: path + ".svg")
    }
    if json {
      try Output.json(self)
      return
    }
    var table = Table(
      "BATCH", "PREFILL tokens/s", "OF INT8 PEAK", "DECODE tokens/s", "OF INT8 PEAK",
      "OF BANDWIDTH", "PEAK MEMORY MiB")
    for row in rows {
      table.add(
        "\(row.result.batch)", Self.number(row.result.prefillTokensPerSecond),
        Self.percent(row.prefillShareOfInt8Peak), Self.number(row.result.decodeTokensPerSecond),
        Self.percent(row.decodeShareOfInt8Peak), Self.percent(row.decodeShareOfBandwidth),
        "\(row.result.peakMemoryBytes >> 20)")
    }
    Output.line(table.text)
    let first = rows.first?.result
    Output.remark(
      "\(first?.kernels ?? "") kernels, \(first?.threads ?? 0) threads; this machine reads "
        + "\(Self.number(bytesPerSecond / 1e9)) GB/s and multiplies "
        + "\(Self.number(int8MultiplyAddsPerSecond / 1e9)) billion int8 a second at most")
  }

  private func write(_ text: String, to path: String) throws {
    let file = try PartialFile(path, flag: "--out")
    defer { file.discard() }
    _ = Array(text.utf8).withUnsafeBytes { file.append($0) }
    try file.finish()
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  private static func percent(_ share: Double?) -> String {
    share.map { String(format: "%.0f%%", $0 * 100) } ?? "-"
  }
}
