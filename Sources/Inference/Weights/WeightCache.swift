import Crypto
import Foundation
import ModelFormats
import Tensors

/// A folder that keeps weights in the layout of the kernels, so that only the first process repacks
/// them, and all processes of a machine share one copy in memory.
///
/// There is a file for each model. It belongs to the model's path and the SHA-256 of its content;
/// when either changes, a new one takes its place. The folder must belong to the user and be
/// writable to nobody else, because what lies in it is trusted.
public struct WeightCache: Sendable, Hashable {
  /// The folder; made where it is not there.
  public var folder: String
  /// Models whose packed weights take fewer bytes are not kept: packing them takes no time.
  public var leastBytes: Int
  /// The most bytes of all files together: those that were not loaded for longest go first.
  public var mostBytes: Int
  /// Seconds that a model file must have been left alone before its times are relied on to tell
  /// whether it was changed: more than the coarsest clock of a file system in use (2, of FAT).
  package var settlingSeconds = 3.0

  /// Makes a cache of models of 32 MiB and more, of 64 GiB together at most.
  public init(folder: String, leastBytes: Int = 32 << 20, mostBytes: Int = 64 << 30) {
    self.folder = folder
    self.leastBytes = leastBytes
    self.mostBytes = mostBytes
  }

  /// Where a model's weights are to live, and what stood in the way of keeping them.
  struct Place {
    var memory: any WeightMemory
    /// The file, if there is one.
    var file: WeightFile?
    var problem: String?
  }

  /// Finds a model's file or begins one. Tells the model file its fingerprint where that is known
  /// without reading it.
  func place(for model: GGUFFile) -> Place {
    let needed = Self.bytes(of: model)
    guard needed >= leastBytes else { return Place(memory: HeapWeights()) }
    do {
      try prepareFolder()
      let path = path(for: model)
      if let file = try? WeightFile(opening: path) {
        let fingerprint = file.contents.fingerprint
        let isKnown =
          file.contents.identity == model.identity
          || note(beside: path) == Self.note(fingerprint, model.identity)
        if isKnown { model.assumeFingerprint(fingerprint) }
        if fingerprint == model.computeFingerprint() {
          if !isKnown, let identity = model.identity(settledFor: settlingSeconds) {
            // So that it need not be read again. Without the note it is, and no harm is done.
            try? Data(Self.note(fingerprint, identity).utf8).write(
              to: URL(fileURLWithPath: path + Self.noteSuffix), options: .atomic)
          }
          // Its time tells when it was loaded last.
          utimes(path, nil)
          return Place(memory: file, file: file)
        }
      }
      // Before room is made: it takes as long as reading the model.
      let fingerprint = model.computeFingerprint()
      removeOrphans()
      try makeRoom(needed, for: path)
      let file = try WeightFile(
        making: path,
        contents: WeightFile.Contents(
          fingerprint: fingerprint,
          identity: model.identity(settledFor: settlingSeconds),
          model: Self.absolute(model.path)),
        capacity: needed)
      return Place(memory: file, file: file)
    } catch {
      return Place(memory: HeapWeights(), problem: Self.problem(error, folder))
    }
  }

  /// Keeps a file in the making. Returns what stood in the way.
  func finish(_ place: Place) -> String? {
    do {
      try place.file?.finish()
      return place.problem
    } catch {
      return Self.problem(error, folder)
    }
  }

  private static func problem(_ error: WeightFile.Failure, _ folder: String) -> String {
    "The packed weights cannot be kept in \(folder) (\(error.reason)); they are in this process's "
      + "memory, and packed anew at each start."
  }

  // MARK: Notes

  private static let noteSuffix = ".identity"

  /// What is written beside a file whose model was found under another identity than the file says:
  /// it was too young to tell when the file was made, or was moved or touched since.
  private static func note(_ fingerprint: String, _ identity: String) -> String {
    "\(fingerprint) \(identity)\n"
  }

  private func note(beside path: String) -> String? {
    try? String(contentsOfFile: path + Self.noteSuffix, encoding: .utf8)
  }

  // MARK: The folder

  private func prepareFolder() throws(WeightFile.Failure) {
    do {
      try FileManager.default.createDirectory(
        atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw WeightFile.Failure("the folder cannot be made: \(error.localizedDescription)")
    }
    var status = stat()
    guard stat(folder, &status) == 0 else { throw WeightFile.Failure(errno: errno) }
    guard status.st_uid == geteuid() else {
      throw WeightFile.Failure("the folder is another user's")
    }
    guard status.st_mode & 0o022 == 0 else {
      throw WeightFile.Failure("others than this user can write there")
    }
  }

  private func path(for model: GGUFFile) -> String {
    let absolute = Self.absolute(model.path)
    let digest = SHA256.hash(data: Data(absolute.utf8)).prefix(8)
    let name = URL(fileURLWithPath: absolute).deletingPathExtension().lastPathComponent
    let hash = digest.map { String(Int($0) + 256, radix: 16).dropFirst() }.joined()
    // As much of the name as fits beside the rest, whatever its characters take.
    let short = String(decoding: name.utf8.prefix(100), as: UTF8.self)
    return "\(folder)/\(short)-\(hash).packed"
  }

  private static func absolute(_ path: String) -> String {
    URL(fileURLWithPath: path).standardizedFileURL.path
  }

  /// Removes the files of models that are gone, and those that were never finished by processes that
  /// are.
  private func removeOrphans() {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names {
      let path = "\(folder)/\(name)"
      if Self.isPart(name) {
        WeightFile.remove(abandoned: path)
      } else if name.hasSuffix(".packed" + Self.noteSuffix) {
        let file = path.dropLast(Self.noteSuffix.count)
        if !FileManager.default.fileExists(atPath: String(file)) { unlink(path) }
      } else if name.hasSuffix(".packed"),
        let file = try? WeightFile(opening: path, marksUse: false),
        !FileManager.default.fileExists(atPath: file.contents.model)
      {
        WeightFile.remove(abandoned: path)
      }
    }
  }

  /// Whether this is the name of a file in the making.
  private static func isPart(_ name: String) -> Bool {
    name.wholeMatch(of: /.+\.packed\.part-[0-9]+-[0-9]+/) != nil
  }

  /// Removes files as many as it takes for so many bytes more, if that is enough: first the one that
  /// is to be replaced, then those that were not loaded for longest. One that a process has open stays.
  private func makeRoom(_ needed: Int, for new: String) throws(WeightFile.Failure) {
    guard needed <= mostBytes else {
      throw WeightFile.Failure(
        "they take \(needed >> 20) MiB, and the limit is \(mostBytes >> 20) MiB")
    }
    var total = 0
    var files: [(path: String, status: stat)] = []
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
      let path = "\(folder)/\(name)"
      // Whatever else lies there is somebody's, and neither counts nor goes.
      let isWhole = name.hasSuffix(".packed") && WeightFile.hasMagic(path)
      var status = stat()
      guard isWhole || Self.isPart(name), lstat(path, &status) == 0 else { continue }
      total += Int(status.st_size)
      // Files in the making and in use count, and stay.
      if isWhole, WeightFile.isAbandoned(path) { files.append((path, status)) }
    }
    guard total - files.reduce(0, { $0 + Int($1.status.st_size) }) <= mostBytes - needed else {
      throw WeightFile.Failure("files in use fill its limit, \(mostBytes >> 20) MiB")
    }
    files.sort {
      ($0.path == new ? 0 : 1, $0.status.st_mtim.tv_sec, $0.status.st_mtim.tv_nsec)
        < ($1.path == new ? 0 : 1, $1.status.st_mtim.tv_sec, $1.status.st_mtim.tv_nsec)
    }
    for file in files where total > mostBytes - needed {
      guard WeightFile.remove(abandoned: file.path) else { continue }
      unlink(file.path + Self.noteSuffix)
      total -= Int(file.status.st_size)
    }
    guard total <= mostBytes - needed else {
      throw WeightFile.Failure("its older files could not be removed to keep its limit")
    }
  }

  /// At most this many bytes are needed for a model's packed tensors.
  private static func bytes(of model: GGUFFile) -> Int {
    model.tensors.reduce(0) { total, tensor in
      guard tensor.shape.count == 2, let type = try? ModelTensors.type(of: tensor),
        let layout = try? PackedLayout(
          type: type, shape: MatrixShape(rows: tensor.shape[1], columns: tensor.shape[0]))
      else { return total }
      // The embedding is needed as it is, and packed as well where the output is tied to it.
      let rows = tensor.name == EmbeddingTable.tensorName ? tensor.byteCount : 0
      return total + layout.byteCount + PackedLayout.aligned(rows)
    }
  }
}
