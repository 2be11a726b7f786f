import Foundation

/// A picture of prefill and decode rates over batch sizes, as SVG.
struct BenchPlot {
  private let results: [BenchResult]

  private static let (width, height) = (640.0, 400.0)
  private static let (left, right, top, bottom) = (70.0, 20.0, 40.0, 50.0)

  /// - Parameter results: one a batch size, at least one.
  init(_ results: [BenchResult]) {
    self.results = results.sorted { $0.batch < $1.batch }
  }

  /// The document.
  var svg: String {
    let highest =
      results.map { max($0.prefillTokensPerSecond, $0.decodeTokensPerSecond) }.max() ?? 1
    let top = Self.roundUp(highest)
    var parts = [
      """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="white"/>
      <text x="\(Int(Self.left))" y="22" font-size="14">Tokens per second over the batch size</text>
      """
    ]
    for step in 0...4 {
      let value = top * Double(step) / 4
      let y = Self.y(value, of: top)
      parts.append(
        "<line x1=\"\(Self.left)\" x2=\"\(Self.width - Self.right)\" y1=\"\(y)\" y2=\"\(y)\" "
          + "stroke=\"#ddd\"/>"
          + "<text x=\"\(Self.left - 8)\" y=\"\(y + 4)\" text-anchor=\"end\">\(Int(value))</text>")
    }
    for (index, result) in results.enumerated() {
      parts.append(
        "<text x=\"\(x(index))\" y=\"\(Self.height - Self.bottom + 18)\" text-anchor=\"middle\">"
          + "\(result.batch)</text>")
    }
    parts.append(line("prefill", "#1f77b4", 0, top) { $0.prefillTokensPerSecond })
    parts.append(line("decode", "#d62728", 1, top) { $0.decodeTokensPerSecond })
    return (parts + ["</svg>", ""]).joined(separator: "\n")
  }

  private func line(
    _ name: String, _ color: String, _ place: Int, _ top: Double, _ value: (BenchResult) -> Double
  ) -> String {
    let points = results.enumerated().map { (x($0), Self.y(value($1), of: top)) }
    let path = points.map { "\($0),\($1)" }.joined(separator: " ")
    let dots = points.map { "<circle cx=\"\($0)\" cy=\"\($1)\" r=\"3\" fill=\"\(color)\"/>" }
    let label = Self.left + 110 * Double(place)
    return """
      <polyline points="\(path)" fill="none" stroke="\(color)" stroke-width="2"/>\(dots.joined())
      <rect x="\(label)" y="\(Self.height - 18)" width="10" height="10" fill="\(color)"/>\
      <text x="\(label + 16)" y="\(Self.height - 9)">\(name)</text>
      """
  }

  private func x(_ index: Int) -> Double {
    let room = Self.width - Self.left - Self.right
    return Self.left + room * (Double(index) + 0.5) / Double(results.count)
  }

  private static func y(_ value: Double, of most: Double) -> Double {
    height - bottom - (height - top - bottom) * value / most
  }

  /// The next 1, 2 or 5 times a power of ten, and at least 4.
  private static func roundUp(_ value: Double) -> Double {
    var power = 1.0
    while power * 10 < value { power *= 10 }
    return max(4, [1, 2, 5, 10].map { $0 * power }.first { $0 >= value } ?? value)
  }
}
