import Foundation
import Tensors
import TestModels
import Testing

@Suite("Attention")
struct AttentionTests {
  /// A cache with random keys and values, its blocks in an order of no meaning.
  struct Fixture {
    let heads = 2
    let group: Int
    let dimension: Int
    /// Keys that the last of the tokens sees.
    let length: Int
    let tokens: Int
    let keys: [[Float]]
    let values: [[Float]]
    let queries: [Float]

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

    /// The tokens in runs of at most `together`.
    func run(
      _ path: KernelPath, blockTokens: Int, head: Int = 1, together: Int = 8
    ) throws -> [Float] {
      let blocks = (length + blockTokens - 1) / blockTokens
      let table = (0..<blocks).map { Int32(blocks - $0) }
      let slots = (blocks + 1) * blockTokens * heads
      let padded = KeyValueLayer.paddedDimension(dimension)
      let keyStore = try AlignedBuffer<Float>(count: slots * dimension)
      let valueStore = try AlignedBuffer<Float>(count: slots * padded)
      // What was never written must never be looked at.
      for index in 0..<keyStore.count { keyStore.base[index] = .nan }
      for index in 0..<valueStore.count { valueStore.base[index] = .nan }
      let layer = KeyValueLayer(
        keys: keyStore.base, values: valueStore.base, blockTokens: blockTokens, heads: heads,
        headDimension: dimension)
      for token in 0..<length {
        layer.write(
          block: table[token / blockTokens], offset: token % blockTokens, key: keys[token],
          value: values[token])
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
                  length: length - tokens + 1 + first), keyValueHead: head, group: group,
                scale: 1 / Float(dimension).squareRoot(), queries: query + first * width,
                out: result + first * width, stride: width, scratch: scratch.base)
            }
          }
        }
      }
      return out
    }

    /// Plain softmax attention in double precision.
    func exact(head: Int = 1) -> [Double] {
      (0..<tokens * group).flatMap { query -> [Double] in
        let keys = keys.prefix(length - tokens + 1 + query / group)
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
  }

  static let cases: [(group: Int, dimension: Int, length: Int, tokens: Int)] = [
    (1, 8, 1, 1), (2, 8, 15, 1), (3, 24, 16, 8), (4, 64, 17, 2), (5, 80, 100, 7), (3, 16, 66, 8),
    (8, 128, 511, 3), (4, 64, 512, 1), (3, 64, 515, 8), (1, 32, 513, 5), (2, 64, 1_300, 8),
  ]

  @Test("All paths, block sizes and runs give the same bits", arguments: cases)
  func sameBits(group: Int, dimension: Int, length: Int, tokens: Int) throws {
    let fixture = Fixture(group: group, dimension: dimension, length: length, tokens: tokens)
    let reference = bits(try fixture.run(.scalar, blockTokens: 32))
    for blockTokens in [16, 32, 64] {
      for path in fastPaths + [.scalar] {
        for together in [1, 3, 8] {
          let result = try fixture.run(path, blockTokens: blockTokens, together: together)
          #expect(bits(result) == reference)
        }
      }
    }
  }

  @Test("It agrees with plain softmax in double precision", arguments: cases)
  func agreesWithSoftmax(group: Int, dimension: Int, length: Int, tokens: Int) throws {
    let fixture = Fixture(group: group, dimension: dimension, length: length, tokens: tokens)
    for (value, exact) in zip(try fixture.run(.auto, blockTokens: 16), fixture.exact()) {
      #expect(abs(Double(value) - exact) < 2e-5)
    }
  }

  @Test("A query that is not a number shows in the whole result")
  func showsNaN() throws {
    let fixture = Fixture(group: 1, dimension: 16, length: 40)
    var queries = fixture.queries
    queries[3] = .nan
    let layerStore = try AlignedBuffer<Float>(count: 2 * 64 * 16)
    let layer = KeyValueLayer(
      keys: layerStore.base, values: layerStore.base + 64 * 16, blockTokens: 64, heads: 1,
      headDimension: 16)
    let scratch = try AlignedBuffer<Float>(
      count: Compute.attentionScratch(group: 1, headDimension: 16))
    for path in fastPaths + [.scalar] {
      var out = [Float](repeating: 0, count: 16)
      let block = try AlignedBuffer<Int32>(count: 1)
      try Compute(path: path).attention(
        layer, AttentionRun(blocks: block.base, tokens: 1, length: 40), keyValueHead: 0, group: 1,
        scale: 1, queries: queries, out: &out, stride: 16, scratch: scratch.base)
      #expect(out.allSatisfy { $0.isNaN })
    }
  }
}
