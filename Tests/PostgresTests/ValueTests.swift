import Foundation
import Postgres
import Testing

@Suite(.serialized) struct ValueTests {
  private func roundTrip<Value: PostgresEncodable & PostgresDecodable & Equatable>(
    _ values: [Value], _ connection: Connection
  ) async throws {
    for value in values {
      let row = try #require(try await connection.query("SELECT $1 AS value", value).first)
      #expect(try row.decode("value", as: Value.self) == value)
      #expect(try row.decode(0, as: Value?.self) == value)
    }
    let none = try #require(try await connection.query("SELECT $1", Value?.none).first)
    #expect(try none.decode(0, as: Value?.self) == nil)
    #expect(throws: PostgresError.self) { try none.decode(0, as: Value.self) }
  }

  @Test("values of every type survive the way there and back")
  func roundTrips() async throws {
    let connection = try await connect()
    try await roundTrip([true, false], connection)
    try await roundTrip([Int16.min, -1, 0, .max], connection)
    try await roundTrip([Int32.min, -1, 0, .max], connection)
    try await roundTrip([Int64.min, -1, 0, .max], connection)
    try await roundTrip([Float.leastNonzeroMagnitude, -0.1, .infinity], connection)
    try await roundTrip([Double.greatestFiniteMagnitude, -0.1, -.infinity], connection)
    try await roundTrip(
      ["", "a'b\\c\"", "héllo 👋🏽\n\t", String(repeating: "x", count: 100_000)], connection)
    try await roundTrip([UUID(), UUID()], connection)
    try await roundTrip(
      [Data(), Data([0, 255, 10, 92]), Data(repeating: 0, count: 70_000)], connection)
    try await roundTrip([JSONText(#"{"a": [1, "b", null]}"#)], connection)
    try await roundTrip(
      [0, 1, -1, 1_800_000_000_123_456].map { PostgresInstant(microsecondsSinceEpoch: $0) },
      connection)
    try await roundTrip([[Int32](), [1, -2, .max], Array(0..<5_000)], connection)
    try await roundTrip([[Int64](), [.min, .max]], connection)
    try await roundTrip([[Float](), [1.5, -0.25, .infinity]], connection)
    try await roundTrip([[String](), ["", "a,b", "{\"}", "NULL", "é"]], connection)
    try await roundTrip([[String?](), ["a", nil, ""]], connection)
    try await roundTrip([[UUID(), UUID()]], connection)
    try await roundTrip([[Data([1]), Data()]], connection)
    try await roundTrip([[true, nil, false]], connection)
    await connection.close()
  }

  @Test("values are what PostgreSQL takes them for")
  func meaning() async throws {
    let connection = try await connect()
    let row = try #require(
      try await connection.query(
        """
        SELECT $1::text AS int4, $2::text AS int8, $3::text AS float4, $4::text AS ints,
          $5::text AS texts, $6::text AS time, $7 ->> 'k' AS json, ($8)[2] AS second
        """, Int32(-7), Int64(1) << 40, Float(0.5), [Int32(1), 2], ["a b", "c\"d"],
        PostgresInstant(microsecondsSinceEpoch: 951_782_400_000_001), JSONText(#"{"k": "v"}"#),
        ["x", "y"]
      ).first)
    let expected = [
      "int4": "-7", "int8": "1099511627776", "float4": "0.5", "ints": "{1,2}",
      "texts": #"{"a b","c\"d"}"#, "json": "v", "second": "y",
    ]
    for (column, value) in expected {
      #expect(try row.decode(column, as: String.self) == value)
    }
    #expect(try row.decode("time", as: String.self).hasPrefix("2000-02-29 00:00:00.000001"))
    await connection.close()
  }

  @Test("a value of another type is an error that names the column")
  func mismatch() async throws {
    let connection = try await connect()
    let row = try #require(
      try await connection.query("SELECT 1::int8 AS big, 'infinity'::timestamptz AS end").first)
    for read in [
      { _ = try row.decode("big", as: Int32.self) }, { _ = try row.decode("big", as: String.self) },
      { _ = try row.decode("end", as: PostgresInstant.self) },
      { _ = try row.decode("none", as: Int64.self) }, { _ = try row.decode(7, as: Int64.self) },
      { _ = try row.decode("big", as: [Int64].self) },
    ] as [() throws -> Void] {
      #expect {
        try read()
      } throws: { ($0 as? PostgresError)?.code == .decoding }
    }
    #expect(try row.decode("big", as: Int64.self) == 1)
    await connection.close()
  }

  @Test(
    "damaged arrays are errors",
    arguments: [
      [], [0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23],
      [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1],
      [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9, 1],
      [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
    ] as [[UInt8]])
  func damaged(bytes: [UInt8]) {
    #expect(throws: PostgresError.self) { try [Int32].decode(bytes[...], type: .int4Array) }
  }
}
