import Foundation
import Inference
import Tensors

/// Rates over batch sizes, held against what the machine can do at most.
struct BenchSuite: Encodable {
  var rows: [Row]

  /// One batch size. Limits and shares are medians of its runs.
  struct Row: Encodable {
    var result: BenchResult
    var bytesPerSecond: Double
    var int8MultiplyAddsPerSecond: Double
    /// All multiplications that are needed, those of attention in float too, of the int8 products that
    /// the machine can add up; absent for float weights.
    var prefillShareOfInt8Peak: Double?
    var decodeShareOfInt8Peak: Double?
    /// Of the bytes that the machine can read: all weights once a step.
    var decodeShareOfBandwidth: Double

    init(_ result: BenchResult, runs: [BenchRun], cost: ModelCost) {
      let limited = runs.compactMap { run in run.limits.map { (run: run, limits: $0) } }
      let step = Double(cost.stepBytes) / Double(result.batch)
      self.result = result
      bytesPerSecond = limited.map(\.limits.bytesPerSecond).median
      int8MultiplyAddsPerSecond = limited.map(\.limits.multiplyAddsPerSecond).median
      if cost.isInt8 {
        prefillShareOfInt8Peak =
          limited.map { $0.run.prefillMultiplyAdds(cost) / $0.limits.multiplyAddsPerSecond }.median
        decodeShareOfInt8Peak =
          limited.map { $0.run.decodeMultiplyAdds(cost) / $0.limits.multiplyAddsPerSecond }.median
      }
      decodeShareOfBandwidth =
        limited.map { $0.run.decode * step / $0.limits.bytesPerSecond }.median
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
      "\(first?.kernels ?? "") kernels, \(first?.threads ?? 0) threads; between the runs this machine "
        + "read \(Self.range(rows.map { $0.bytesPerSecond / 1e9 })) GB/s and multiplied "
        + "\(Self.range(rows.map { $0.int8MultiplyAddsPerSecond / 1e9 })) billion int8 a second")
  }

  private func write(_ text: String, to path: String) throws {
    let file = try PartialFile(path, flag: "--out")
    defer { file.discard() }
    _ = Array(text.utf8).withUnsafeBytes { file.append($0) }
    try file.finish()
  }

  private static func range(_ values: [Double]) -> String {
    let least = number(values.min() ?? 0), most = number(values.max() ?? 0)
    return least == most ? least : "\(least) to \(most)"
  }

  private static func number(_ value: Double) -> String { String(format: "%.1f", value) }

  private static func percent(_ share: Double?) -> String {
    share.map { String(format: "%.0f%%", $0 * 100) } ?? "-"
  }
}
