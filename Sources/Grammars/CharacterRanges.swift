/// Sets of Unicode code points, as ranges, and the bytes of UTF-8 that they are written with.
enum CharacterRanges {
  private static let last: UInt32 = 0x10FFFF
  private static let surrogates: ClosedRange<UInt32> = 0xD800...0xDFFF

  /// All code points that can be written.
  static let all: [ClosedRange<UInt32>] = [0...0xD7FF, 0xE000...last]

  /// In order, without overlaps, without surrogates.
  static func normalized(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var merged: [ClosedRange<UInt32>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let before = merged.last, range.lowerBound <= before.upperBound &+ 1 {
        merged[merged.count - 1] = before.lowerBound...max(before.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    return merged.flatMap { range -> [ClosedRange<UInt32>] in
      guard range.overlaps(surrogates) else { return [range] }
      var parts: [ClosedRange<UInt32>] = []
      if range.lowerBound < surrogates.lowerBound { parts.append(range.lowerBound...0xD7FF) }
      if range.upperBound > surrogates.upperBound { parts.append(0xE000...range.upperBound) }
      return parts
    }
  }

  /// All that are not in the ranges.
  static func inverted(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var outside: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in normalized(ranges + [surrogates]).filter({ $0.lowerBound <= last }) {
      if range.lowerBound > next { outside.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    // Surrogates are left out by `normalized`, so that a gap may hold them.
    if next <= last { outside.append(next...last) }
    return normalized(outside)
  }

  /// The byte strings of the ranges' characters: each a sequence of ranges of bytes.
  static func encoded(_ ranges: [ClosedRange<UInt32>]) -> [[ClosedRange<UInt8>]] {
    let borders: [UInt32] = [0x7F, 0x7FF, 0xFFFF, last]
    var encoded: [[ClosedRange<UInt8>]] = []
    for range in normalized(ranges) {
      var low = range.lowerBound
      for border in borders where low <= range.upperBound && low <= border {
        let high = min(range.upperBound, border)
        split(bytes(low), bytes(high), [], &encoded)
        low = high + 1
      }
    }
    return encoded
  }

  private static func bytes(_ value: UInt32) -> [UInt8] {
    let continuation = { (shift: UInt32) in UInt8(0x80 | (value >> shift) & 0x3F) }
    switch value {
    case ...0x7F: return [UInt8(value)]
    case ...0x7FF: return [UInt8(0xC0 | value >> 6), continuation(0)]
    case ...0xFFFF: return [UInt8(0xE0 | value >> 12), continuation(6), continuation(0)]
    default:
      return [UInt8(0xF0 | value >> 18), continuation(12), continuation(6), continuation(0)]
    }
  }

  /// Cuts the strings of bytes from `low` to `high`, equally long, into products of byte ranges.
  private static func split(
    _ low: [UInt8], _ high: [UInt8], _ prefix: [ClosedRange<UInt8>],
    _ out: inout [[ClosedRange<UInt8>]]
  ) {
    guard let first = low.first, let last = high.first else {
      out.append(prefix)
      return
    }
    let rest = low.count - 1
    let lowest = [UInt8](repeating: 0x80, count: rest)
    let highest = [UInt8](repeating: 0xBF, count: rest)
    if first == last {
      split(Array(low.dropFirst()), Array(high.dropFirst()), prefix + [first...first], &out)
      return
    }
    var middle = (first, last)
    if Array(low.dropFirst()) != lowest {
      split(Array(low.dropFirst()), highest, prefix + [first...first], &out)
      middle.0 = first + 1
    }
    let cutsEnd = Array(high.dropFirst()) != highest
    if cutsEnd { middle.1 = last - 1 }
    if middle.0 <= middle.1 {
      out.append(
        prefix + [middle.0...middle.1] + Array(repeating: 0x80...0xBF, count: rest))
    }
    if cutsEnd { split(lowest, Array(high.dropFirst()), prefix + [last...last], &out) }
  }
}
