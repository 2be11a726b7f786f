/// A statement with its parameters, ready to be sent.
///
/// The text is prepared once per connection and found again by text and parameter types: keep it
/// constant and put everything that varies into parameters.
///
///     Statement("select name from people where age > $1", Int32(30))
public struct Statement: Sendable {
  public var sql: String
  var types: [PostgresType]
  /// `nil` is NULL.
  var values: [[UInt8]?]

  public init(_ sql: String, _ parameters: any PostgresEncodable...) {
    self.init(sql, parameters: parameters)
  }

  public init(_ sql: String, parameters: [any PostgresEncodable]) {
    self.sql = sql
    types = []
    values = []
    types.reserveCapacity(parameters.count)
    values.reserveCapacity(parameters.count)
    for parameter in parameters { append(parameter) }
  }

  private mutating func append(_ parameter: some PostgresEncodable) {
    types.append(type(of: parameter).postgresType)
    guard !parameter.isNull else { return values.append(nil) }
    var bytes: [UInt8] = []
    parameter.encode(into: &bytes)
    values.append(bytes)
  }

  /// What tells one prepared statement from another.
  var key: Key { Key(sql: sql, types: types) }

  struct Key: Hashable, Sendable {
    var sql: String
    var types: [PostgresType]
  }
}
