import Inference
import Tensors
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
        == 3 * cost.tokenMultiplyAdds + cost.logitsMultiplyAdds + attention)
    // At positions 9 and 10 a token sees 10 and 11.
    let output = cost.tokenMultiplyAdds + cost.logitsMultiplyAdds
    #expect(cost.outputMultiplyAdds(positions: 9..<11) == 2 * output + 6 * (10 + 11) * 2 * 256)
  }

  @Test("Through a window a token sees no more keys than that holds")
  func window() throws {
    var options = LoadOptions()
    options.keyValueStorage = KeyValueStorage(.f32, window: AttentionWindow(tokens: 16, sinks: 4))
    let cost = try LanguageModel.load(path: TrainedModels.targets[0], options: options).cost
    let output = cost.tokenMultiplyAdds + cost.logitsMultiplyAdds
    // 20 at most: at position 18 a token sees 19, at 19, 20 and 21 it sees 20.
    #expect(
      cost.outputMultiplyAdds(positions: 18..<22) == 4 * output + 6 * (19 + 3 * 20) * 2 * 256)
    #expect(cost.outputMultiplyAdds(positions: 30..<31) == output + 6 * 20 * 2 * 256)
  }
}
