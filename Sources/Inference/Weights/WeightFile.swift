import Crypto
import Foundation
import Tensors

/// Packed weights in a file that is mapped into memory.
///
///     64 bytes: magic, where the contents are (offset and bytes, little-endian), their SHA-256
///     regions, each on a cache line
///     contents: JSON, see `Contents`
///
/// A file is made under a name of its own and renamed when it is whole and on the disk, so nobody
/// sees half of one. It is never written to afterwards.
final class WeightFile: WeightMemory {
  /// What a file says of itself.
  struct Contents: Codable, Equatable {
    /// The version of the packed layouts.
    var layout = PackedLayout.version
    /// The SHA-256 of the model file.
    var fingerprint: String
    /// Which version of which file that was, where that can be told without reading it again.
    var identity: String?
    /// The model file's path.
    var model: String
    /// Offset and bytes of each region.
    var regions: [String: [Int]] = [:]
  }

  /// Why there is no file: what the system says.
  struct Failure: Error {
    var reason: String

    init(_ reason: String) { self.reason = reason }
    init(errno code: Int32) { reason = String(cString: strerror(code)) }
  }

  private static let magic = Array("millrace packed\n".utf8)
  private static let headerBytes = 64
  private static let mostContents = 64 << 20

  /// Where it is, or will be.
  let path: String
  /// Whether this process made it.
  let wasMade: Bool
  /// What it holds.
  private(set) var contents: Contents
  private let map: UnsafeMutableRawPointer
  private let mapBytes: Int
  private let heap = HeapWeights()
  private let descriptor: Int32
  private var making: Making?

  /// A file in the making.
  private struct Making {
    var partPath: String
    var end: Int
    var isWhole = true
  }

  private init(
    _ path: String, _ contents: Contents, map: UnsafeMutableRawPointer, bytes: Int,
    descriptor: Int32, making: Making?
  ) {
    self.path = path
    wasMade = making != nil
    self.contents = contents
    self.map = map
    mapBytes = bytes
    self.descriptor = descriptor
    self.making = making
  }

  deinit {
    if let making { unlink(making.partPath) }
    munmap(map, mapBytes)
    close(descriptor)
  }

  // MARK: A file that is there

  /// Maps a whole file; throws where there is none, or anything else.
  convenience init(opening path: String, marksUse: Bool = true) throws(Failure) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { throw Failure(errno: errno) }
    var isKept = false
    defer { if !isKept { close(descriptor) } }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Failure(errno: errno) }
    let bytes = Int(status.st_size)
    guard status.st_mode & S_IFMT == S_IFREG, bytes >= Self.headerBytes else {
      throw Failure("not a file of packed weights")
    }
    guard status.st_uid == geteuid(), status.st_mode & 0o022 == 0 else {
      throw Failure("others than this user can write to it")
    }
    guard let map = mmap(nil, bytes, PROT_READ, MAP_SHARED, descriptor, 0), map != MAP_FAILED
    else { throw Failure(errno: errno) }
    madvise(map, bytes, Int32(MADV_HUGEPAGE))
    guard let contents = Self.contents(UnsafeRawBufferPointer(start: map, count: bytes)) else {
      munmap(map, bytes)
      throw Failure("not a file of packed weights of this version, or a damaged one")
    }
    if marksUse { Self.markInUse(descriptor) }
    isKept = true
    self.init(path, contents, map: map, bytes: bytes, descriptor: descriptor, making: nil)
  }

  /// Whether a file of this user begins as packed weights do, of whichever version.
  static func hasMagic(_ path: String) -> Bool {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG,
      status.st_uid == geteuid()
    else { return false }
    var start = [UInt8](repeating: 0, count: magic.count)
    return read(descriptor, &start, start.count) == start.count && start == magic
  }

  private static func contents(_ file: UnsafeRawBufferPointer) -> Contents? {
    guard file.prefix(magic.count).elementsEqual(magic) else { return nil }
    func number(at offset: Int) -> Int? {
      Int(
        exactly: UInt64(littleEndian: file.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
    }
    guard let offset = number(at: magic.count), let count = number(at: magic.count + 8),
      count <= mostContents, headerBytes <= offset, offset <= file.count - count
    else { return nil }
    let text = Data(file[offset..<offset + count])
    let digest = file[magic.count + 16..<headerBytes]
    guard digest.elementsEqual(SHA256.hash(data: text)),
      let contents = try? JSONDecoder().decode(Contents.self, from: text),
      contents.layout == PackedLayout.version
    else { return nil }
    let areSound = contents.regions.values.allSatisfy { place in
      place.count == 2 && place[0] >= headerBytes && place[0] % PackedLayout.alignment == 0
        && place[1] >= 0 && place[1] <= offset && place[0] <= offset - place[1]
    }
    return areSound ? contents : nil
  }

  // MARK: A file in the making

  /// Begins a file with room for so many bytes of regions, all of it set aside on the disk now.
  convenience init(
    making path: String, contents: Contents, capacity: Int
  ) throws(Failure) {
    let partPath = "\(path).part-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    let descriptor = open(partPath, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw Failure(errno: errno) }
    let bytes = Self.headerBytes + capacity
    // Tells others that somebody is at it, for as long as this process lives.
    _ = flock(descriptor, LOCK_EX | LOCK_NB)
    let problem = posix_fallocate(descriptor, 0, off_t(bytes))
    let map =
      problem == 0
      ? mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) : MAP_FAILED
    guard let map, map != MAP_FAILED else {
      let reason = problem == 0 ? errno : problem
      close(descriptor)
      unlink(partPath)
      throw Failure(errno: reason)
    }
    self.init(
      path, contents, map: map, bytes: bytes, descriptor: descriptor,
      making: Making(partPath: partPath, end: Self.headerBytes))
  }

  func region(_ key: String, byteCount: Int) throws(InferenceError) -> WeightRegion {
    if let place = contents.regions[key], place[1] == byteCount {
      return WeightRegion(base: map + place[0], owner: self, isFilled: true)
    }
    guard var making, byteCount <= mapBytes - PackedLayout.aligned(making.end) else {
      // Not in a file that is there, or no room in a new one: such a file is not kept.
      making?.isWhole = false
      return try heap.region(key, byteCount: byteCount)
    }
    let start = PackedLayout.aligned(making.end)
    making.end = start + byteCount
    self.making = making
    contents.regions[key] = [start, byteCount]
    return WeightRegion(base: map + start, owner: self, isFilled: false)
  }

  /// Gives a file in the making its name, once every region is filled. On a failure the weights stay
  /// good, and the file goes with them.
  func finish() throws(Failure) {
    guard let making else { return }
    guard making.isWhole else { throw Failure("it has other tensors than were planned for") }
    guard let text = try? JSONEncoder().encode(contents), text.count <= Self.mostContents else {
      throw Failure("its contents cannot be written")
    }
    let numbers = [making.end, text.count].map { UInt64($0).littleEndian }
    var header = Self.magic + numbers.withUnsafeBytes { Array($0) }
    header += SHA256.hash(data: text)
    memcpy(map, header, header.count)
    errno = ENOSPC  // what a short write means
    guard ftruncate(descriptor, off_t(making.end + text.count)) == 0,
      text.withUnsafeBytes({
        pwrite(descriptor, $0.baseAddress, $0.count, off_t(making.end))
      }) == text.count,
      msync(map, making.end, MS_SYNC) == 0, fsync(descriptor) == 0,
      mprotect(map, mapBytes, PROT_READ) == 0, rename(making.partPath, path) == 0
    else { throw Failure(errno: errno) }
    self.making = nil
    Self.markInUse(descriptor)
    takeLargePages()
  }

  /// Lets go of what was written, which came into memory 4 KiB at a time, and reads it back. Where the
  /// file system can, what is read of a mapping like this comes in pages of 2 MiB, and is faster to
  /// reach, for every process that maps the file as long as it stays in memory. It takes as long as
  /// reading the file, once a model.
  private func takeLargePages() {
    madvise(map, mapBytes, Int32(MADV_HUGEPAGE))
    madvise(map, mapBytes, Int32(MADV_DONTNEED))
    posix_fadvise(descriptor, 0, 0, Int32(POSIX_FADV_DONTNEED))
    // Where the system does not know that, it is read when it is needed.
    madvise(map, contents.regions.values.map { $0[0] + $0[1] }.max() ?? 0, Self.populateRead)
  }

  /// Linux's `MADV_POPULATE_READ`, which older headers lack.
  private static let populateRead: Int32 = 22

  /// Tells others that a file is in use, as long as it is open. Who looks whether it is holds it for a
  /// moment only.
  private static func markInUse(_ descriptor: Int32) {
    var tries = 0
    while flock(descriptor, LOCK_SH | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR,
      tries < 100
    {
      usleep(100)
      tries += 1
    }
  }

  /// Removes the file, or the part of one, under this name unless a process makes it or has it open;
  /// returns whether it did.
  @discardableResult
  static func remove(abandoned path: String) -> Bool {
    withAbandoned(path) { unlink(path) == 0 } ?? false
  }

  /// Whether nobody makes or has open the file under this name.
  static func isAbandoned(_ path: String) -> Bool { withAbandoned(path) { true } ?? false }

  /// Does something while nobody can begin to use a file; `nil` where one is using it. Where the file
  /// system knows no locks, nobody can say that he is.
  private static func withAbandoned<Result>(_ path: String, _ body: () -> Result) -> Result? {
    // For writing, as file systems of the network ask for it.
    let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    let knowsNoLocks = [EOPNOTSUPP, ENOSYS, EINVAL]
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || knowsNoLocks.contains(errno) else {
      return nil
    }
    // Another file may have taken the name meanwhile.
    var (opened, named) = (stat(), stat())
    guard fstat(descriptor, &opened) == 0, lstat(path, &named) == 0,
      (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
    else { return nil }
    return body()
  }
}
