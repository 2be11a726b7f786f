import Inference
import ModelFormats
import Tensors
import TestModels
import Testing

@Suite("How keys and values are stored")
struct KeyValueStorageTests {
  static let storages = [
    "f16", "bf16", "int8", "int8,0=f32", "f32,1=int8", "f32,window=20", "int8,window=4+9",
  ]

  private static func tiny(_ storage: String) throws -> TinyModel {
    let storage = try #require(KeyValueStorage(storage))
    return try TinyModel(type: .q8_0, options: LoadOptions(keyValueStorage: storage))
  }

  @Test(
    "The written form is read back",
    arguments: [
      "f32", "f16", "bf16", "int8", "int8,0-1=f32", "f16,3=bf16,7-9=int8", "f32,window=7",
      "int8,0=f32,window=4+1024",
    ])
  func written(text: String) {
    #expect(KeyValueStorage(text)?.description == text)
  }

  @Test(
    "What is no storage is refused",
    arguments: [
      "", "q4", "F16", "f16,", ",f16", "f16,0", "f16,0=", "f16,=f32", "f16,a=f32", "f16,1-=f32",
      "f16,2-1=f32", "f16,-1=f32", "f16,0-1-2=f32", "f16,0=f32=f32", "f16,99999999999999999999=f32",
      "f16, 0=f32", "window=9", "f16,window", "f16,window=", "f16,window=0", "f16,window=65+9",
      "f16,window=-1", "f16,window=1+2+3", "f16,window=9,window=9", "f16,window=4+",
      "f16,window=99999999999",
    ])
  func refused(text: String) {
    #expect(KeyValueStorage(text) == nil)
  }

  @Test("A layer that the model does not have is refused")
  func missingLayer() throws {
    #expect {
      try Self.tiny("f32,1-2=f16")
    } throws: { error in
      let error = error as? InferenceError
      return error?.code == .optionsInvalid && error?.context["field"] == "keyValueStorage"
        && error?.message.contains("layers 0 to 1") == true
    }
  }

  @Test("What changes the text is in the fingerprint, however it is written")
  func fingerprints() throws {
    func fingerprint(_ text: String) throws -> String { try Self.tiny(text).model.fingerprint }
    let plain = try TinyModel(type: .q8_0).model.fingerprint
    #expect(try fingerprint("f32") == plain)
    #expect(try fingerprint("f16,0-1=f32") == plain)
    #expect(try fingerprint("f16") == plain + ".kv-f16")
    #expect(try fingerprint("int8,1=f32") == plain + ".kv-int8-f32")
    #expect(try fingerprint("f32,0=int8") == plain + ".kv-int8-f32")
    #expect(try fingerprint("f32,window=4+20") == plain + ".window-4-20")
    #expect(try fingerprint("f16,window=20") == plain + ".kv-f16.window-0-20")
  }

  @Test("Batch, threads, kernels, blocks and a resumption change no byte", arguments: storages)
  func exact(storage: String) throws {
    let model = try Self.tiny(storage).model
    let reference = try ExactnessTests.reference(model)
    #expect(try reference != ExactnessTests.reference(TinyModel(type: .q8_0).model))
    for options in ExactnessTests.variants {
      let engine = try Engine(model: model, options: options)
      #expect(try generate(engine, ExactnessTests.requests()) == reference, "\(options)")
      // The prefixes are there now.
      #expect(try generate(engine, ExactnessTests.requests()) == reference, "\(options), warm")
    }
    let resumed = ExactnessTests.requests().map { request in
      var request = request
      request.resumedTokens = Array((reference[request.sequence]?.tokens ?? []).prefix(9))
      return request
    }
    let engine = try Engine(model: model, options: EngineOptions(contextLength: 256))
    for (id, rest) in try generate(engine, resumed) {
      #expect(rest.tokens == Array(try #require(reference[id]).tokens.dropFirst(9)))
    }
  }

  @Test("The cache takes as much less memory as it says")
  func memory() throws {
    func bytes(_ storage: String) throws -> Int {
      try Engine(model: Self.tiny(storage).model).statistics.kvBlockBytes
    }
    // 32 tokens, 2 heads, keys of 24 and values padded to 32, 2 layers; int8 with two scales.
    #expect(try bytes("f32") == 32 * 2 * 56 * 2 * 4)
    #expect(try bytes("f16") == 32 * 2 * 56 * 2 * 2)
    #expect(try bytes("int8") == 32 * 2 * (56 + 8) * 2)
    #expect(try bytes("int8,0=f32") == 32 * 2 * (56 * 4 + 56 + 8))
  }

  @Test(
    "Logits stay close to those of the unrounded cache",
    arguments: [
      ("f16", 1e-3), ("bf16", 1e-2), ("int8", 3e-2),
    ])
  func closeness(storage: String, tolerance: Float) throws {
    let tokens = (0..<200).map { Int32(3 + $0 * 7 % 280) }
    // Weights in float, so that activations are not rounded as well.
    let options = LoadOptions(keyValueStorage: try #require(KeyValueStorage(storage)))
    let exact = try Engine(model: TinyModel().model).logits(tokens: tokens)
    let rounded = try Engine(model: TinyModel(options: options).model).logits(tokens: tokens)
    let spread = (exact.max() ?? 0) - (exact.min() ?? 0)
    let worst = zip(exact, rounded).map { abs($0 - $1) }.max() ?? 0
    #expect(worst > 0 && worst < spread * tolerance, "\(worst) of \(spread)")
  }
}
