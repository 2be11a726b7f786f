import Foundation

/// A file that is written piece by piece under a name of its own and takes its place when it is
/// whole, so that nobody sees half of it.
final class PartialFile {
  private let path: String
  private let flag: String
  private let partPath: String
  private var descriptor: Int32
  /// The `errno` of the first write that failed, or 0.
  private var problem: Int32 = 0

  /// Begins a file for `path`, which a flag named.
  ///
  /// - Throws: `CommandFailure` where its folder cannot be written to.
  init(_ path: String, flag: String) throws(CommandFailure) {
    self.path = path
    self.flag = flag
    partPath = "\(path).part-\(getpid())"
    descriptor = open(partPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw failure(errno) }
  }

  /// Adds bytes. Returns whether there is any use in going on.
  func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var rest = bytes
    while problem == 0, !rest.isEmpty {
      let count = write(descriptor, rest.baseAddress, rest.count)
      if count > 0 {
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      } else if count == 0 || errno != EINTR {
        problem = count == 0 ? ENOSPC : errno
      }
    }
    return problem == 0
  }

  /// Gives the file its name.
  ///
  /// - Throws: `CommandFailure` where it could not all be written.
  func finish() throws(CommandFailure) {
    guard problem == 0 else { throw failure(problem) }
    // A write that was put off may fail as late as here.
    guard close(take()) == 0, rename(partPath, path) == 0 else { throw failure(errno) }
  }

  /// Puts an unfinished file away; nothing happens to a finished one.
  func discard() {
    if descriptor >= 0 { close(take()) }
    unlink(partPath)
  }

  private func take() -> Int32 {
    defer { descriptor = -1 }
    return descriptor
  }

  private func failure(_ problem: Int32) -> CommandFailure {
    CommandFailure(
      "\(flag) \(path) cannot be written (\(String(cString: strerror(problem)))); give a file in a "
        + "folder that is there, can be written and has room")
  }
}
