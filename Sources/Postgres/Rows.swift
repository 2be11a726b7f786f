import CLibPQ

/// The rows that a statement returned, in the order the server sent them.
public struct Rows: RandomAccessCollection, Sendable {
  private let result: ResultHandle
  private let rowCount: Int
  /// How many rows an INSERT, UPDATE, DELETE or COPY touched.
  public let affectedRows: Int

  init(_ result: ResultHandle) {
    self.result = result
    rowCount = Int(PQntuples(result.pointer))
    affectedRows = PQcmdTuples(result.pointer).flatMap { Int(String(cString: $0)) } ?? 0
  }

  public var startIndex: Int { 0 }
  public var endIndex: Int { rowCount }

  public subscript(position: Int) -> Row {
    precondition(position >= 0 && position < rowCount, "row index out of range")
    return Row(result: result, index: Int32(position))
  }
}

/// One row; columns are read by name or by index.
public struct Row: Sendable {
  let result: ResultHandle
  let index: Int32

  /// Reads a column by its name.
  /// - Throws: `PostgresError.Code.decoding` when there is no such column or it does not fit.
  public func decode<Value: PostgresDecodable>(
    _ column: String, as type: Value.Type = Value.self
  ) throws -> Value {
    let number = PQfnumber(result.pointer, column)
    guard number >= 0 else {
      throw PostgresError(code: .decoding, message: "the result has no column \(column)")
    }
    return try decode(at: number, name: column)
  }

  /// Reads a column by its index from 0.
  public func decode<Value: PostgresDecodable>(
    _ column: Int, as type: Value.Type = Value.self
  ) throws -> Value {
    guard column >= 0, column < Int(PQnfields(result.pointer)) else {
      throw PostgresError(code: .decoding, message: "the result has no column \(column)")
    }
    return try decode(at: Int32(column), name: "\(column)")
  }

  private func decode<Value: PostgresDecodable>(at column: Int32, name: String) throws -> Value {
    do {
      guard PQgetisnull(result.pointer, index, column) == 0,
        let start = PQgetvalue(result.pointer, index, column)
      else { return try Value.decodeNull() }
      let length = Int(PQgetlength(result.pointer, index, column))
      let bytes = [UInt8](UnsafeRawBufferPointer(start: start, count: length))
      let type = PostgresType(rawValue: PQftype(result.pointer, column))
      return try Value.decode(bytes[...], type: type)
    } catch let error as PostgresError {
      throw PostgresError(
        code: .decoding, message: "column \(name): \(error.message)", cause: error)
    }
  }
}

/// Owns a `PGresult`. libpq's readers of a finished result touch nothing else and write nothing,
/// so it may be read from any thread.
final class ResultHandle: @unchecked Sendable {
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) {
    self.pointer = pointer
  }

  deinit {
    PQclear(pointer)
  }

  var status: ExecStatusType { PQresultStatus(pointer) }

  private func field(_ field: Int32) -> String? {
    PQresultErrorField(pointer, field).map { String(cString: $0) }
  }

  /// The error that the server reported with this result.
  var error: PostgresError {
    let state = field(millrace_diag_sqlstate).map { SQLState(rawValue: $0) }
    var message = field(millrace_diag_message) ?? "the server gave no message"
    if state?.errorClass == .dataException {
      message = "a value does not fit its type or range"
    }
    if let hint = field(millrace_diag_hint) { message += "; \(hint)" }
    let code: PostgresError.Code =
      switch state {
      case .queryCanceled: .cancelled
      case nil: .connectionLost
      default: .server
      }
    return PostgresError(
      code: code, message: message, sqlState: state,
      constraint: field(millrace_diag_constraint))
  }
}
