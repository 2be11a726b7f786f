import Foundation

/// A file mapped into memory, read-only, for as long as this object lives.
///
/// Pages come in as they are read and are shared between processes that map the same file. A file
/// that is cut short after it was mapped ends the process with SIGBUS when a lost page is read: do
/// not write over a model in place, write a new file and rename it.
final class MappedFile: Sendable {
  /// The whole file. The pointer is only read through and lives as long as this object, so it may
  /// be shared between threads.
  nonisolated(unsafe) let bytes: UnsafeRawBufferPointer

  /// Maps a regular file; throws for a missing, unreadable or empty one, a directory, a pipe.
  init(path: String) throws(ModelFormatError) {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw ModelFormatError(
        code: .fileNotFound, message: "The path is empty or holds a NUL; give a model's path.")
    }
    // Non-blocking, because opening a pipe for reading would otherwise wait for its writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.openFailure(errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Self.openFailure(errno) }
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
    else { throw Self.openFailure(errno) }
    bytes = UnsafeRawBufferPointer(start: start, count: size)
  }

  deinit {
    munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
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
