import Foundation

/// What can be told of a socket in the file system without disturbing whoever listens on it.
enum UnixSocket {
  /// Whether some program may be listening there: anything but a clear no is a yes.
  ///
  /// A path that is too long for a socket is nobody's; listening there fails by itself.
  static func isInUse(_ path: String) -> Bool {
    var address = sockaddr_un()
    let bytes = Array(path.utf8)
    guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    // Not blocking: a listener that is busy answers EAGAIN.
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = socket(AF_UNIX, type, 0)
    guard descriptor >= 0 else { return true }
    defer { close(descriptor) }
    let length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let status = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, length) }
    }
    return status == 0 || (errno != ECONNREFUSED && errno != ENOENT)
  }
}
