import Foundation
import JobQueue
import Testing

@Suite("A chunk of output")
struct OutputChunkTests {
  /// A chunk whose tokens are their own indices.
  private static func chunk(_ range: Range<Int>, _ outputs: [Int32]? = nil) -> OutputChunk {
    var chunk = Samples.chunk(range)
    chunk.outputs = outputs
    return chunk
  }

  @Test("says which output each token is of, also when some chunks say nothing of it")
  func append() {
    var plain = Self.chunk(0..<2)
    plain.append(Self.chunk(2..<3))
    #expect(plain.outputs == nil)
    plain.append(Self.chunk(3..<5, [1, 2]))
    #expect(plain.outputs == [0, 0, 0, 1, 2])
    plain.append(Self.chunk(5..<6))
    #expect(plain.outputs == [0, 0, 0, 1, 2, 0])
    #expect(plain.tokens == [0, 1, 2, 3, 4, 5])
  }

  @Test("keeps the outputs of what is left of it")
  func dropping() {
    let chunk = Self.chunk(3..<7, [0, 1, 2, 1])
    #expect(chunk.dropping(before: 5) == Self.chunk(5..<7, [2, 1]))
    #expect(chunk.dropping(before: 2) == chunk)
    #expect(Self.chunk(3..<7).dropping(before: 5) == Self.chunk(5..<7))
  }

  @Test("falls into runs of one output each")
  func runs() {
    let chunk = Self.chunk(10..<16, [0, 0, 2, 1, 1, 0])
    #expect(chunk.runs.map(\.output) == [0, 2, 1, 0])
    #expect(chunk.runs.map(\.range) == [0..<2, 2..<3, 3..<5, 5..<6])
    #expect(Self.chunk(4..<7).runs.map(\.output) == [0])
    #expect(Self.chunk(4..<7).runs.map(\.range) == [0..<3])
    #expect(Self.chunk(4..<4).runs.isEmpty)
  }

  @Test("a claimed job's tokens can be told apart by output")
  func tokensByOutput() {
    let job = Samples.job()
    #expect(ClaimedJob(job: job, committedTokens: []).tokensByOutput == [])
    #expect(ClaimedJob(job: job, committedTokens: [5, 6]).tokensByOutput == [[5, 6]])
    let several = ClaimedJob(
      job: job, committedTokens: [5, 6, 7, 8], committedOutputs: [2, 0, 2, 0])
    #expect(several.tokensByOutput == [[6, 8], [], [5, 7]])
  }

  @Test("a spec that was stored before there were several outputs can be read, and has one")
  func oldSpecs() throws {
    let encoded = try JSONEncoder().encode(SamplingParameters(seed: 1))
    #expect(!String(decoding: encoded, as: UTF8.self).contains("outputs"))
    let old = try JSONDecoder().decode(SamplingParameters.self, from: encoded)
    #expect(old == SamplingParameters(seed: 1))
    for strategy in [
      SamplingParameters.Strategy.beam(width: 3, lengthPenalty: 0.5, stopsEarly: true),
      .contrastive(topK: 5, alpha: 0.25),
    ] {
      let new = SamplingParameters(seed: 1, outputs: 2, strategy: strategy)
      let decoded = try JSONDecoder().decode(
        SamplingParameters.self, from: try JSONEncoder().encode(new))
      #expect(decoded == new)
    }
  }
}
