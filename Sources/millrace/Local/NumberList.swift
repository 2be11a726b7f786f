import ArgumentParser
import Foundation

/// Whole numbers separated by commas, as flags take them: `1,403,407`.
enum NumberList {
  /// - Parameter flag: the flag's name, for errors.
  /// - Throws: `ValidationError`, which names the piece that is wrong, and the range.
  static func parse(
    _ text: String, flag: String, in range: ClosedRange<Int>
  ) throws(ValidationError) -> [Int] {
    let wanted = "each must be a whole number from \(range.lowerBound) to \(range.upperBound)"
    var numbers: [Int] = []
    for piece in text.split(separator: ",", omittingEmptySubsequences: false) {
      let place = "number \(numbers.count + 1) of \(flag)"
      let digits = piece.trimmingCharacters(in: .whitespaces)
      guard !digits.isEmpty else {
        throw ValidationError("\(place) is empty; \(wanted), with commas between them")
      }
      guard let number = Int(digits), range.contains(number) else {
        let shown = digits.count > 32 ? "\(digits.prefix(32))…" : digits
        throw ValidationError("\(place) is \(shown); \(wanted)")
      }
      numbers.append(number)
    }
    return numbers
  }
}
