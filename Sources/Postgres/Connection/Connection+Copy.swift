import CLibPQ
public import Foundation

extension Connection {
  /// Streams data into a table: `COPY … FROM STDIN`, in the format that the statement names.
  ///
  /// - Parameter chunks: pieces of the data; their borders mean nothing.
  /// - Returns: how many rows were stored. An error, also one that the sequence throws, stores none.
  @discardableResult
  public func copyIn<Chunks: AsyncSequence & Sendable>(
    _ sql: String, _ chunks: Chunks
  ) async throws -> Int where Chunks.Element == Data {
    try await exchange { connection in
      try await connection.startCopy(sql, expecting: PGRES_COPY_IN)
      do {
        for try await chunk in chunks { try await connection.put(chunk) }
      } catch {
        try await connection.endCopy(error: "the sender gave up")
        _ = try? await connection.drain()
        throw error
      }
      try await connection.endCopy(error: nil)
      return try await connection.drain()
    }
  }

  /// Streams data out: `COPY … TO STDOUT`. The chunks are whole rows.
  public func copyOut(
    _ sql: String, _ receive: @Sendable (Data) async throws -> Void
  ) async throws {
    try await exchange { connection in
      try await connection.startCopy(sql, expecting: PGRES_COPY_OUT)
      var failure: (any Error)?
      while let chunk = try await connection.nextCopyChunk() {
        // After a failure the rest is read and dropped, so that the connection stays usable.
        guard failure == nil else { continue }
        do {
          try await receive(chunk)
        } catch {
          failure = error
          connection.interruption?.request()
        }
      }
      do {
        _ = try await connection.drain()
      } catch {
        throw failure ?? error
      }
      if let failure { throw failure }
    }
  }

  private func startCopy(_ sql: String, expecting status: ExecStatusType) async throws {
    guard PQsendQuery(handle.pointer, sql) == 1 else { throw lost() }
    try await flush()
    guard let result = try await nextResult() else { throw Self.missingResult }
    guard result.status == status else {
      let error =
        result.status == PGRES_FATAL_ERROR
        ? described(result.error)
        : PostgresError(code: .misuse, message: "the statement is not a COPY in this direction")
      if result.status == PGRES_COPY_IN { try await endCopy(error: "unexpected") }
      if result.status == PGRES_COPY_OUT { while try await nextCopyChunk() != nil {} }
      _ = try? await drain()
      throw error
    }
  }

  private func put(_ chunk: Data) async throws {
    while true {
      let sent = chunk.withUnsafeBytes { buffer in
        PQputCopyData(
          handle.pointer, buffer.baseAddress?.assumingMemoryBound(to: CChar.self),
          Int32(buffer.count))
      }
      switch sent {
      case 1: return try await flush()
      case 0: try await flush()
      default: throw lost()
      }
    }
  }

  private func endCopy(error: String?) async throws {
    while true {
      switch PQputCopyEnd(handle.pointer, error) {
      case 1: return try await flush()
      case 0: try await flush()
      default: throw lost()
      }
    }
  }

  private func nextCopyChunk() async throws -> Data? {
    while true {
      var buffer: UnsafeMutablePointer<CChar>?
      let count = PQgetCopyData(handle.pointer, &buffer, 1)
      switch count {
      case 1...:
        defer { PQfreemem(buffer) }
        return buffer.map { Data(bytes: $0, count: Int(count)) }
      case 0:
        try await wait(for: .read)
        try consume()
      default: return nil  // -1 at the end, -2 on an error that the next result holds
      }
    }
  }

  /// Reads the remaining results and returns the number of rows, or throws the first error.
  private func drain() async throws -> Int {
    var rows = 0
    var failure: PostgresError?
    while let result = try await nextResult() {
      if result.status == PGRES_COMMAND_OK {
        rows = Rows(result).affectedRows
      } else {
        failure = failure ?? described(result.error)
      }
    }
    if let failure { throw failure }
    return rows
  }
}
