public import JobQueue
public import Postgres

/// The queue's timestamps are `timestamptz` values, microsecond for microsecond.
extension Timestamp: PostgresArrayElement {
  public static var postgresType: PostgresType { PostgresInstant.postgresType }
  public static var postgresArrayType: PostgresType { PostgresInstant.postgresArrayType }

  public func encode(into bytes: inout [UInt8]) {
    PostgresInstant(microsecondsSinceEpoch: microsecondsSinceEpoch).encode(into: &bytes)
  }

  public static func decode(_ bytes: ArraySlice<UInt8>, type: PostgresType) throws -> Timestamp {
    let instant = try PostgresInstant.decode(bytes, type: type)
    return Timestamp(microsecondsSinceEpoch: instant.microsecondsSinceEpoch)
  }
}
