import Inference
import Testing

@Suite("Model cost")
struct ModelCostTests {
  @Test("A prompt's token costs the layers but most of the last, one with logits that and the rest")
  func storyteller() throws {
    let cost = try LanguageModel.load(path: TrainedModels.targets[0]).cost
    // Width 256, 4 query and 2 key-value heads of 64, feed-forward of 704, vocabulary of 4,096.
    let keysAndValues = 256 * 128 * 2
    let rest = 256 * 256 * 2 + 256 * 704 * 3
    #expect(cost.tokenMultiplyAdds == 6 * keysAndValues + 5 * rest)
    #expect(cost.logitsMultiplyAdds == rest + 256 * 4_096)
    #expect(cost.isInt8)
    // 34 bytes for 32 weights in Q8_0.
    #expect(cost.stepBytes == (6 * (keysAndValues + rest) + 256 * 4_096) / 32 * 34)
    // Tokens of a prompt see 1, 2 and 3 keys in five layers, the last one all 3 in the sixth too.
    let attention = (5 * (1 + 2 + 3) + 3) * 2 * 256
    #expect(
      cost.promptMultiplyAdds(tokens: 3)
        == Double(3 * cost.tokenMultiplyAdds + cost.logitsMultiplyAdds + attention))
    #expect(
      cost.outputMultiplyAdds(keys: 10)
        == Double(cost.tokenMultiplyAdds + cost.logitsMultiplyAdds + 6 * 10 * 2 * 256))
  }
}
