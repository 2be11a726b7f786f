import ArgumentParser

/// A label of a job, as `--label KEY=VALUE` gives it.
struct Label {
  var key: String
  var value: String

  init(_ text: String) throws {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw ValidationError("a label must be KEY=VALUE")
    }
    key = String(parts[0])
    value = String(parts[1])
  }
}
