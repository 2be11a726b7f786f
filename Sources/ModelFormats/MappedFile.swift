import Foundation

/// A file mapped into memory, read-only, for as long as this object lives.
///
/// Pages come in as they are read and are shared between processes that map the same file. A file
/// that is cut short while it is mapped ends the process with SIGBUS when a lost page is read: do
/// not write over a model in place, write a new file and rename it.
final class MappedFile: Sendable {
  /// The whole file. The pointer is only read through and lives as long as this object, so it may
  /// be shared between threads.
  nonisolated(unsafe) let bytes: UnsafeRawBufferPointer
  private let descriptor: Int32
  private let version: Version
  /// Device, inode, size, and the times of the last changes of content and status, when it was
  /// opened.
  let identity: String
  /// Seconds from the last change to when it was opened, rounded up to at most a second more.
  let age: Double

  /// What changes when somebody writes to a file. Which file it is cannot change: the descriptor
  /// stays with the one that was opened, whatever is renamed over its path.
  private struct Version: Equatable {
    let size: Int
    let seconds: Int
    let nanoseconds: Int

    init(_ status: stat) {
      size = Int(status.st_size)
      seconds = status.st_mtim.tv_sec
      nanoseconds = status.st_mtim.tv_nsec
    }
  }

  /// Maps a regular file; throws for a missing, unreadable or empty one, a directory, a pipe.
  init(path: String) throws(ModelFormatError) {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw ModelFormatError(
        code: .fileNotFound, message: "The path is empty or holds a NUL; give a model's path.")
    }
    // Non-blocking, because opening a pipe for reading would otherwise wait for its writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.openFailure(errno) }
    do throws(ModelFormatError) {
      let status = try Self.status(of: descriptor)
      bytes = try Self.map(descriptor, status)
      version = Version(status)
      let (change, now) = (status.st_ctim, Date().timeIntervalSince1970)
      identity = [
        Int(status.st_dev), Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec,
        status.st_mtim.tv_nsec, change.tv_sec, change.tv_nsec,
      ].map(String.init).joined(separator: ".")
      age = now - Double(change.tv_sec)
      self.descriptor = descriptor
    } catch {
      close(descriptor)
      throw error
    }
  }

  deinit {
    munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    close(descriptor)
  }

  /// Throws `fileChanged` where the file was written to, or cut short, since it was opened.
  func checkUnchanged() throws(ModelFormatError) {
    guard try Version(Self.status(of: descriptor)) == version else {
      throw ModelFormatError(
        code: .fileChanged,
        message: "The file was written to while it was read; wait until it is whole, and replace "
          + "models by renaming a new file over the old one.")
    }
  }

  private static func status(of descriptor: Int32) throws(ModelFormatError) -> stat {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw openFailure(errno) }
    return status
  }

  /// Maps a regular file of at least a byte.
  private static func map(
    _ descriptor: Int32, _ status: stat
  ) throws(ModelFormatError) -> UnsafeRawBufferPointer {
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ModelFormatError(
        code: .notARegularFile,
        message: "The path names a directory, pipe or device; give the model file itself.")
    }
    guard let size = Int(exactly: status.st_size), size > 0 else {
      throw ModelFormatError(
        code: .emptyFile, message: "The file is empty; fetch it again.", byteOffset: 0)
    }
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), start != MAP_FAILED
    else { throw openFailure(errno) }
    return UnsafeRawBufferPointer(start: start, count: size)
  }

  private static func openFailure(_ code: Int32) -> ModelFormatError {
    let reason = String(cString: strerror(code))
    if code == ENOENT || code == ENOTDIR {
      return ModelFormatError(
        code: .fileNotFound, message: "There is no such file; check the path.")
    }
    return ModelFormatError(
      code: .fileUnreadable,
      message: "The file cannot be opened (\(reason)); check its permissions and the memory left.")
  }
}
