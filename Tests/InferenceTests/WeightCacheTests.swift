import Foundation
import Inference
import ModelFormats
import TestModels
import Testing

@Suite("Packed weights that are kept")
struct WeightCacheTests {
  private let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("weights-\(UUID().uuidString)").path

  private var cache: WeightCache { WeightCache(folder: folder, leastBytes: 0) }

  private func load(_ path: String) throws -> LanguageModel {
    try LanguageModel.load(path: path, options: LoadOptions(weightCache: cache))
  }

  private var files: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  private static func output(_ model: LanguageModel) throws -> [UInt64: Generation] {
    try generate(
      try Engine(model: model, options: EngineOptions(contextLength: 256)),
      ExactnessTests.requests())
  }

  @Test(
    "A kept file gives the same output, and the first load too", arguments: ExactnessTests.types,
    [true, false])
  func sameOutput(type: GGUFTensorType, tied: Bool) throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: type, tied: tied)
    let reference = try Self.output(tiny.model)
    #expect(tiny.model.weightPlace == .memory)
    let first = try load(tiny.path)
    guard case .made(let path) = first.weightPlace else {
      Issue.record("\(first.weightPlace)")
      return
    }
    let second = try load(tiny.path)
    #expect(second.weightPlace == .found(path: path))
    #expect(files.count == 1 && path == "\(folder)/\(files[0])")
    for model in [first, second] {
      #expect(try Self.output(model) == reference)
      #expect(model.fingerprint == tiny.model.fingerprint)
    }
  }

  @Test("Another model under the same path gets a file of its own content")
  func replacedModel() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q8_0)
    let before = try load(tiny.path)
    // Renamed over it, as models are replaced.
    let other = TinyModel.newPath()
    try TinyModel.write(to: other, type: .q8_0, seed: 2)
    try #require(rename(other, tiny.path) == 0)
    let after = try load(tiny.path)
    #expect(after.fingerprint != before.fingerprint)
    #expect(try Self.output(after) != Self.output(before))
    #expect(try Self.output(after) == Self.output(LanguageModel.load(path: tiny.path)))
    #expect(files.count == 1)
  }

  @Test("A model that was written over in place, its time set back, is noticed")
  func overwritten() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q8_0)
    // Of a file that was changed a moment ago the time says too little, and is not relied on.
    _ = try load(tiny.path)
    _ = try load(tiny.path)
    #expect(files.count == 1)
    // Where a moment is enough, it says enough, which is noted.
    var cache = cache
    cache.settlingSeconds = 0
    let options = LoadOptions(weightCache: cache)
    let before = try LanguageModel.load(path: tiny.path, options: options)
    #expect(files.count == 2 && files[1] == files[0] + ".identity")
    #expect(try load(tiny.path).fingerprint == before.fingerprint)
    let other = TinyModel.newPath()
    defer { try? FileManager.default.removeItem(atPath: other) }
    try TinyModel.write(to: other, type: .q8_0, seed: 2)
    let noted = try GGUFFile(path: tiny.path).identity
    let bytes = try Data(contentsOf: URL(fileURLWithPath: other))
    let handle = try #require(FileHandle(forUpdatingAtPath: tiny.path))
    defer { try? handle.close() }
    var status = stat()
    try #require(fstat(handle.fileDescriptor, &status) == 0)
    try handle.write(contentsOf: bytes)
    // Setting a time is a change of its own; again, until the file system's clock has moved on.
    var identity = noted
    for _ in 0..<100_000 where identity == noted {
      try #require(futimens(handle.fileDescriptor, [status.st_atim, status.st_mtim]) == 0)
      identity = try GGUFFile(path: tiny.path).identity
    }
    #expect(identity != noted)
    #expect(try load(tiny.path).fingerprint == LanguageModel.load(path: other).fingerprint)
    #expect(try load(tiny.path).fingerprint != before.fingerprint)
  }

  @Test("A model that was only touched uses the file that is there")
  func touched() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q8_0)
    _ = try load(tiny.path)
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: tiny.path)
    let again = try load(tiny.path)
    guard case .found = again.weightPlace else {
      Issue.record("\(again.weightPlace)")
      return
    }
    #expect(again.fingerprint == tiny.model.fingerprint)
  }

  @Test("A file that is damaged where it can be told is made anew")
  func damaged() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q4_0)
    let reference = try Self.output(tiny.model)
    guard case .made(let path) = try load(tiny.path).weightPlace else {
      Issue.record("no file was kept")
      return
    }
    let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    var numbers = SeededNumbers(seed: 4)
    var cases: [[UInt8]] = [[], Array(whole.prefix(63)), Array(whole.prefix(64))]
    cases += (0..<40).map { _ in
      Array(whole.prefix(Int.random(in: 64..<whole.count, using: &numbers)))
    }
    let contents = whole[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
    for _ in 0..<200 {
      var bytes = whole
      // The header and the contents; what lies between is weights.
      FileDamage.flipBits(&bytes, in: 0..<64, &numbers)
      cases.append(bytes)
      bytes = whole
      FileDamage.patchNumbers(&bytes, in: 0..<64, &numbers)
      cases.append(bytes)
      bytes = whole
      FileDamage.flipBits(&bytes, in: contents..<whole.count, &numbers)
      cases.append(bytes)
    }
    for bytes in cases {
      try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic)
      let model = try load(tiny.path)
      // A flipped bit of a name or number inside the contents must not move a weight.
      #expect(try Self.output(model) == reference)
    }
  }

  @Test("Where nothing can be kept, the weights are in memory and it is said why")
  func fallback() throws {
    let tiny = try TinyModel(type: .q8_0)
    let reference = try Self.output(tiny.model)
    func expectFallback(_ words: String, _ cache: WeightCache) throws {
      let model = try LanguageModel.load(
        path: tiny.path, options: LoadOptions(weightCache: cache))
      guard case .fallback(let problem) = model.weightPlace else {
        Issue.record("\(model.weightPlace)")
        return
      }
      #expect(problem.contains(words) && problem.contains(cache.folder))
      #expect(try Self.output(model) == reference)
    }
    // A file in the way, and a folder that others can write to.
    try expectFallback("cannot be made", WeightCache(folder: tiny.path + "/x", leastBytes: 0))
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o777])
    chmod(folder, 0o777)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try expectFallback("others than this user can write there", cache)
    #expect(files.isEmpty)
  }

  @Test("A file that others can write to is not used, and one that cannot get its name is not kept")
  func distrusted() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q8_0)
    let reference = try Self.output(tiny.model)
    guard case .made(let path) = try load(tiny.path).weightPlace else {
      Issue.record("no file was kept")
      return
    }
    chmod(path, 0o666)
    #expect(try load(tiny.path).weightPlace == .made(path: path))
    #expect(try load(tiny.path).weightPlace == .found(path: path))
    unlink(path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    let model = try load(tiny.path)
    guard case .fallback = model.weightPlace else {
      Issue.record("\(model.weightPlace)")
      return
    }
    #expect(try Self.output(model) == reference)
  }

  @Test("A small model is not kept")
  func small() throws {
    let tiny = try TinyModel(type: .q8_0)
    let model = try LanguageModel.load(
      path: tiny.path, options: LoadOptions(weightCache: WeightCache(folder: folder)))
    #expect(model.weightPlace == .memory)
    #expect(!FileManager.default.fileExists(atPath: folder))
  }

  @Test("Files of models that are gone, and halves of processes that are, are removed")
  func orphans() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    do {
      let gone = try TinyModel(type: .f32)
      _ = try load(gone.path)
    }
    // Whether a process has the number of the one that made it says nothing; the lock does.
    for process in [getpid(), 1] {
      _ = FileManager.default.createFile(
        atPath: "\(folder)/a.packed.part-\(process)-7", contents: nil)
    }
    _ = FileManager.default.createFile(atPath: "\(folder)/b.packed.identity", contents: nil)
    let living = open("\(folder)/c.packed.part-1-8", O_RDWR | O_CREAT, 0o600)
    defer { close(living) }
    try #require(flock(living, LOCK_EX | LOCK_NB) == 0)
    // What others have named in a like way is theirs.
    let foreign = ["key.identity", "notes.packed.part-two", "d.packed.part-1-2.bak"]
    for name in foreign {
      _ = FileManager.default.createFile(atPath: "\(folder)/\(name)", contents: nil)
    }
    #expect(files.count == 8)
    let tiny = try TinyModel(type: .f32)
    _ = try load(tiny.path)
    #expect(files.count == 5 && Set(files).isSuperset(of: foreign + ["c.packed.part-1-8"]))
  }

  @Test("Over the limit, what was not used for longest goes, and what is too large is not kept")
  func limit() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let models = try (0..<3).map { _ in try TinyModel(type: .f32) }
    _ = try load(models[0].path)
    let size = try #require(
      FileManager.default.attributesOfItem(atPath: "\(folder)/\(files[0])")[.size] as? Int)
    var cache = cache
    // Plans are for a little more than what a file takes in the end.
    cache.mostBytes = 2 * size + size / 2
    let options = LoadOptions(weightCache: cache)
    func isFound(_ model: TinyModel) throws -> Bool {
      if case .found = try LanguageModel.load(path: model.path, options: options).weightPlace {
        return true
      }
      return false
    }
    #expect(try !isFound(models[1]) && files.count == 2)
    // Not of this program: it neither counts nor goes, old and large as it is.
    let foreign = "\(folder)/textures.packed"
    try Data(repeating: 7, count: 4 * size).write(to: URL(fileURLWithPath: foreign))
    for file in files {
      var times = [timeval](repeating: timeval(tv_sec: 1, tv_usec: 0), count: 2)
      #expect(utimes("\(folder)/\(file)", &times) == 0)
    }
    defer { #expect(files.contains("textures.packed")) }
    // Used after the second, the first stays.
    #expect(try isFound(models[0]))
    #expect(try !isFound(models[2]) && files.count == 3)
    #expect(try isFound(models[0]) && isFound(models[2]))
    #expect(try !isFound(models[1]))
    let (used, also) = (
      try LanguageModel.load(path: models[0].path, options: options),
      try LanguageModel.load(path: models[1].path, options: options)
    )
    let other = try LanguageModel.load(path: models[2].path, options: options)
    guard case .fallback(let reason) = other.weightPlace else {
      Issue.record("a file in use was removed")
      return
    }
    #expect(reason.contains("files in use"))
    withExtendedLifetime((models, used, also)) {}
    cache.mostBytes = size / 2
    let tiny = try TinyModel(type: .f32)
    let large = try LanguageModel.load(
      path: tiny.path, options: LoadOptions(weightCache: cache))
    guard case .fallback(let problem) = large.weightPlace else {
      Issue.record("a file over the limit was kept")
      return
    }
    #expect(problem.contains("the limit is"))
  }

  @Test("A load that fails leaves nothing behind")
  func failedLoad() throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = TinyModel.newPath()
    defer { try? FileManager.default.removeItem(atPath: path) }
    try TinyModel.write(
      to: path, type: .q8_0, damage: TinyModel.Damage(omitted: "output_norm.weight"))
    #expect(throws: InferenceError.self) { try load(path) }
    #expect(files.isEmpty)
  }

  @Test("Loads at the same time end with one whole file, and all with the same output")
  func concurrent() async throws {
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let tiny = try TinyModel(type: .q6K)
    let reference = try Self.output(tiny.model)
    let (cache, path) = (cache, tiny.path)
    try await withThrowingTaskGroup(of: [UInt64: Generation].self) { group in
      for _ in 0..<4 {
        group.addTask {
          try Self.output(
            LanguageModel.load(path: path, options: LoadOptions(weightCache: cache)))
        }
      }
      for try await output in group { #expect(output == reference) }
    }
    guard case .found = try load(tiny.path).weightPlace else {
      Issue.record("no file was kept")
      return
    }
  }
}
