import Foundation
import Tensors
import TestModels
import Testing

@Suite("Attention")
struct AttentionTests {
  typealias Fixture = AttentionFixture

  static let cases: [Fixture.Shape] = [
    (1, 8, 1, 1), (2, 8, 15, 1), (3, 24, 16, 8), (4, 64, 17, 2), (5, 80, 100, 7), (3, 16, 66, 8),
    (8, 128, 511, 3), (4, 64, 512, 1), (3, 64, 515, 8), (1, 32, 513, 5), (2, 64, 1_300, 8),
    (3, 16, 150, 70), (4, 64, 520, 37),
  ]

  @Test("All paths, block sizes and runs give the same bits", arguments: cases)
  func sameBits(group: Int, dimension: Int, length: Int, tokens: Int) throws {
    let fixture = Fixture(group: group, dimension: dimension, length: length, tokens: tokens)
    let reference = bits(try fixture.run(.scalar, blockTokens: 32))
    for blockTokens in [16, 32, 64] {
      for path in fastPaths + [.scalar] {
        for together in [1, 3, 8, AttentionRun.maxTokens] {
          let result = try fixture.run(path, blockTokens: blockTokens, together: together)
          #expect(bits(result) == reference)
        }
      }
    }
  }

  @Test("So they do however keys and values are stored", arguments: cases, KeyValueType.allCases)
  func sameBitsStored(
    shape: Fixture.Shape, type: KeyValueType
  ) throws {
    let fixture = Fixture(shape)
    let reference = bits(try fixture.run(.scalar, blockTokens: 32, type: type))
    for path in fastPaths {
      for together in [3, AttentionRun.maxTokens] {
        let result = try fixture.run(path, blockTokens: 16, together: together, type: type)
        #expect(bits(result) == reference)
      }
    }
  }

  @Test(
    "What is stored is rounded to the nearest, and nothing else changes", arguments: cases,
    [KeyValueType.f16, .bf16, .int8])
  func rounds(
    shape: Fixture.Shape, type: KeyValueType
  ) throws {
    let fixture = Fixture(shape)
    let stored = try fixture.run(.auto, blockTokens: 16, type: type)
    let rounded = try fixture.rounded(to: type).run(.auto, blockTokens: 16)
    #expect(bits(stored) == bits(rounded))
  }

  @Test(
    "Halves of all sizes are rounded to the nearest, ties to even",
    arguments: [
      KeyValueType.f16, .bf16,
    ])
  func roundsHalves(type: KeyValueType) throws {
    var numbers = SeededNumbers(seed: 16)
    var values: [Float] = [
      0, -0.0, 65_504, 65_519, 65_520, -65_520, 1e-8, 0x1p-24, 0x1p-25, 0x1.8p-25,
    ]
    for exponent in -30...15 {
      let scale = Float(sign: .plus, exponent: exponent, significand: 1)
      values += numbers.floats(30, in: -2...2).map { $0 * scale }
      // A tie between two neighbours, and its own neighbours.
      let step = type == .f16 ? Float(0x1p-11) : 0x1p-8
      for odd in [Float(1), 3, 5] {
        let tie = (1 + odd * step) * scale
        values += [tie, tie.nextUp, tie.nextDown, -tie]
      }
    }
    while values.count % 16 != 0 { values.append(1) }
    for start in stride(from: 0, to: values.count, by: 16) {
      let part = Array(values[start..<start + 16])
      // A sum that begins at zero has no negative zeros.
      let expected = part.map { AttentionFixture.half($0, type) + 0 }
      #expect(bits(try stored(part, type)) == bits(expected), "\(part)")
    }
  }

  /// What one token alone gets: its value as it is stored.
  private func stored(_ value: [Float], _ type: KeyValueType) throws -> [Float] {
    let shape = KeyValueLayer.Shape(
      type: type, blockTokens: 16, heads: 1, headDimension: value.count)
    let memory = try AlignedBuffer<UInt8>(count: shape.blockBytes)
    let layer = KeyValueLayer(shape, memory: memory.base, blocks: 1)
    let zeros = [Float](repeating: 0, count: value.count)
    layer.write(block: 0, offset: 0, key: zeros, value: value)
    let scratch = try AlignedBuffer<Float>(
      count: Compute.attentionScratch(group: 1, headDimension: value.count))
    var out = zeros
    let block = try AlignedBuffer<Int32>(count: 1)
    try Compute(path: .auto).attention(
      layer, AttentionRun(blocks: block.base, tokens: 1, length: 1), keyValueHead: 0, group: 1,
      scale: 1, queries: zeros, out: &out, stride: value.count, scratch: scratch.base)
    return out
  }

  @Test("A stored value that is not finite shows in the result", arguments: KeyValueType.allCases)
  func showsInfinity(type: KeyValueType) throws {
    var value = [Float](repeating: 1, count: 16)
    value[5] = .infinity
    let out = try stored(value, type)
    #expect(!out[5].isFinite)
  }

  @Test("It agrees with plain softmax in double precision", arguments: cases)
  func agreesWithSoftmax(group: Int, dimension: Int, length: Int, tokens: Int) throws {
    let fixture = Fixture(group: group, dimension: dimension, length: length, tokens: tokens)
    for (value, exact) in zip(try fixture.run(.auto, blockTokens: 16), fixture.exact()) {
      #expect(abs(Double(value) - exact) < 2e-5)
    }
  }

  /// Windows and sinks that end inside steps and tiles, at their edges, and in other partitions.
  static let windows: [(tokens: Int, sinks: Int)] = [
    (1, 0), (1, 1), (16, 0), (40, 4), (64, 0), (65, 16), (100, 64), (470, 3), (512, 0), (600, 17),
    (5_000, 4),
  ]

  @Test("Through a window all paths, blocks and runs give the same bits", arguments: windows)
  func sameBitsInWindow(tokens: Int, sinks: Int) throws {
    let window = try #require(AttentionWindow(tokens: tokens, sinks: sinks))
    for shape in Self.cases {
      let fixture = Fixture(shape)
      let reference = bits(try fixture.run(.scalar, blockTokens: 32, window: window))
      for blockTokens in [16, 64] {
        for path in fastPaths + [.scalar] {
          for together in [1, 3, 8, AttentionRun.maxTokens] {
            let result = try fixture.run(
              path, blockTokens: blockTokens, together: together, window: window)
            #expect(bits(result) == reference, "\(shape)")
          }
        }
      }
      for type in KeyValueType.allCases {
        let stored = bits(
          try fixture.run(.scalar, blockTokens: 32, together: 1, type: type, window: window))
        for path in fastPaths {
          let result = try fixture.run(path, blockTokens: 16, type: type, window: window)
          #expect(bits(result) == stored, "\(shape), \(type)")
        }
      }
    }
  }

  @Test("It is plain softmax over what is seen, in double precision", arguments: windows)
  func agreesWithSoftmaxInWindow(tokens: Int, sinks: Int) throws {
    let window = try #require(AttentionWindow(tokens: tokens, sinks: sinks))
    for shape in Self.cases {
      let fixture = Fixture(shape)
      let found = try fixture.run(.auto, blockTokens: 16, window: window)
      for (value, exact) in zip(found, fixture.exact(window: window)) {
        #expect(abs(Double(value) - exact) < 2e-5, "\(shape)")
      }
    }
  }

  @Test("A window that reaches to the beginning changes nothing", arguments: cases)
  func wideWindow(group: Int, dimension: Int, length: Int, tokens: Int) throws {
    let fixture = Fixture(group: group, dimension: dimension, length: length, tokens: tokens)
    let plain = bits(try fixture.run(.auto, blockTokens: 16))
    let window = AttentionWindow(tokens: length, sinks: 4)
    #expect(bits(try fixture.run(.auto, blockTokens: 16, window: window)) == plain)
  }

  @Test("Windows out of range are none")
  func noWindows() {
    #expect(AttentionWindow(tokens: 0) == nil && AttentionWindow(tokens: -1) == nil)
    #expect(AttentionWindow(tokens: 1 << 24) != nil && AttentionWindow(tokens: 1 << 24 + 1) == nil)
    #expect(AttentionWindow(tokens: 9, sinks: 64) != nil)
    #expect(AttentionWindow(tokens: 9, sinks: 65) == nil)
    #expect(AttentionWindow(tokens: 9, sinks: -1) == nil)
  }

  @Test("A query that is not a number shows in the whole result")
  func showsNaN() throws {
    let fixture = Fixture(group: 1, dimension: 16, length: 40)
    var queries = fixture.queries
    queries[3] = .nan
    let shape = KeyValueLayer.Shape(type: .f32, blockTokens: 64, heads: 1, headDimension: 16)
    let memory = try AlignedBuffer<UInt8>(count: shape.blockBytes)
    let layer = KeyValueLayer(shape, memory: memory.base, blocks: 1)
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
