/// A bar on standard error for work that takes longer than two seconds, if a person is looking.
struct ProgressBar {
  /// Clears the line that a bar is on.
  static let removal = "\r\u{1b}[K"

  private let title: String
  private let total: Int
  private let start = ContinuousClock.now
  private var lastDraw: ContinuousClock.Instant?

  init(_ title: String, total: Int) {
    self.title = title
    self.total = max(total, 1)
  }

  mutating func update(_ done: Int, note: String = "") {
    let now = ContinuousClock.now
    guard Output.isTerminal, start.duration(to: now) > .seconds(2) else { return }
    if let lastDraw, lastDraw.duration(to: now) < .milliseconds(100), done < total { return }
    lastDraw = now
    let width = 30
    let filled = min(width, done * width / total)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    Output.aside(
      "\(Self.removal)\(title) [\(bar)] \(min(done, total) * 100 / total) % \(note)")
  }

  /// Removes the bar.
  func finish() {
    guard lastDraw != nil else { return }
    Output.aside(Self.removal)
  }
}
