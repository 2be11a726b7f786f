import Foundation
import Tensors
import TestModels

/// A cache with random keys and values, its blocks in an order of no meaning.
struct AttentionFixture {
  let heads = 2
  let group: Int
  let dimension: Int
  /// Keys that the last of the tokens sees.
  let length: Int
  let tokens: Int
  var keys: [[Float]]
  var values: [[Float]]
  let queries: [Float]

  typealias Shape = (group: Int, dimension: Int, length: Int, tokens: Int)

  init(_ shape: Shape) {
    self.init(
      group: shape.group, dimension: shape.dimension, length: shape.length, tokens: shape.tokens)
  }

  init(group: Int, dimension: Int, length: Int, tokens: Int = 1) {
    var numbers = SeededNumbers(seed: UInt64(group * 1_000_000 + dimension * 10_000 + length))
    self.group = group
    self.dimension = dimension
    self.length = length
    self.tokens = tokens
    keys = (0..<length).map { _ in numbers.floats(2 * dimension, in: -2...2) }
    values = (0..<length).map { _ in numbers.floats(2 * dimension) }
    queries = numbers.floats(tokens * group * dimension, in: -2...2)
  }

  /// The tokens in runs of at most `together`. Blocks of nothing but tokens that none of them sees are
  /// not there.
  func run(
    _ path: KernelPath, blockTokens: Int, head: Int = 1, together: Int = AttentionRun.maxTokens,
    type: KeyValueType = .f32, window: AttentionWindow? = nil
  ) throws -> [Float] {
    let blocks = (length + blockTokens - 1) / blockTokens
    var table = (0..<blocks).map { Int32(blocks - $0) }
    let shape = KeyValueLayer.Shape(
      type: type, blockTokens: blockTokens, heads: heads, headDimension: dimension)
    let memory = try AlignedBuffer<UInt8>(count: shape.blockBytes * (blocks + 1))
    // What was never written must never be looked at: all ones are NaNs, in every format.
    for index in 0..<memory.count { memory.base[index] = 0xFF }
    let layer = KeyValueLayer(shape, memory: memory.base, blocks: blocks + 1)
    for token in 0..<length {
      layer.write(
        block: table[token / blockTokens], offset: token % blockTokens, key: keys[token],
        value: values[token])
    }
    if let window {
      let sinks = (window.sinks + blockTokens - 1) / blockTokens
      let passed = window.firstRead(at: length - tokens) / blockTokens
      for place in sinks..<max(passed, sinks) { table[place] = 0 }
    }
    let width = group * dimension
    var out = [Float](repeating: 0, count: tokens * width)
    let scratch = try AlignedBuffer<Float>(
      count: Compute.attentionScratch(group: group, headDimension: dimension))
    let compute = try Compute(path: path)
    for first in stride(from: 0, to: tokens, by: together) {
      table.withUnsafeBufferPointer { table in
        queries.withUnsafeBufferPointer { queries in
          out.withUnsafeMutableBufferPointer { out in
            guard let blocks = table.baseAddress, let query = queries.baseAddress,
              let result = out.baseAddress
            else { return }
            compute.attention(
              layer,
              AttentionRun(
                blocks: blocks, tokens: min(together, tokens - first),
                length: length - tokens + 1 + first), window: window, keyValueHead: head,
              group: group, scale: 1 / Float(dimension).squareRoot(),
              queries: query + first * width,
              out: result + first * width, stride: width, scratch: scratch.base)
          }
        }
      }
    }
    return out
  }

  /// Plain softmax attention in double precision.
  func exact(head: Int = 1, window: AttentionWindow? = nil) -> [Double] {
    (0..<tokens * group).flatMap { query -> [Double] in
      let seen = length - tokens + 1 + query / group
      let first = window.map { max(seen - $0.tokens, 0) } ?? 0
      let places = (0..<seen).filter { $0 >= first || $0 < window?.sinks ?? 0 }
      let keys = places.map { self.keys[$0] }
      let values = places.map { self.values[$0] }
      let scores = keys.map { key in
        (0..<dimension).reduce(0.0) {
          $0 + Double(key[head * dimension + $1]) * Double(queries[query * dimension + $1])
        } / Double(dimension).squareRoot()
      }
      let top = scores.max() ?? 0
      let weights = scores.map { Foundation.exp($0 - top) }
      let total = weights.reduce(0, +)
      return (0..<dimension).map { d in
        zip(weights, values).reduce(0.0) { $0 + $1.0 * Double($1.1[head * dimension + d]) }
          / total
      }
    }
  }

  /// The same with every key and value rounded as it is stored, by plain arithmetic.
  func rounded(to type: KeyValueType) -> AttentionFixture {
    var copy = self
    copy.keys = keys.map { round($0, type) }
    copy.values = values.map { round($0, type) }
    return copy
  }

  private func round(_ token: [Float], _ type: KeyValueType) -> [Float] {
    guard type == .int8 else { return token.map { Self.half($0, type) } }
    return (0..<heads).flatMap { head -> [Float] in
      let row = token[head * dimension..<(head + 1) * dimension]
      let largest = row.map(abs).max() ?? 0
      let scale = largest / 127
      return row.map { ($0 * (127 / largest)).rounded(.toNearestOrEven) * scale }
    }
  }

  /// The nearest value of a half format, ties to even.
  static func half(_ x: Float, _ type: KeyValueType) -> Float {
    guard x != 0 else { return x }
    let (digits, lowest) = type == .f16 ? (10, -14) : (7, -126)
    let exponent = max(Int(x.exponent), lowest)
    let step = Double(sign: .plus, exponent: exponent - digits, significand: 1)
    let rounded = (Double(x) / step).rounded(.toNearestOrEven) * step
    if type == .f16, abs(rounded) >= 65_536 { return x < 0 ? -.infinity : .infinity }
    return rounded == 0 && x < 0 ? -0.0 : Float(rounded)
  }
}
