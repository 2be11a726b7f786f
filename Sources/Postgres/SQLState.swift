/// PostgreSQL's error code: five characters, of which the first two name the class.
///
/// Match by class for a policy (`error.sqlState?.errorClass == .connectionException`), by code for
/// one condition. Source: PostgreSQL documentation, appendix A.
public struct SQLState: Hashable, Sendable, RawRepresentable, CustomStringConvertible {
  public let rawValue: String

  public init(rawValue: String) {
    self.rawValue = rawValue
  }

  public var errorClass: Class { Class(rawValue: String(rawValue.prefix(2))) }
  public var description: String { rawValue }

  /// The first two characters of a code.
  public struct Class: Hashable, Sendable, RawRepresentable {
    public let rawValue: String

    public init(rawValue: String) {
      self.rawValue = rawValue
    }

    public static let connectionException = Class(rawValue: "08")
    public static let dataException = Class(rawValue: "22")
    public static let integrityConstraintViolation = Class(rawValue: "23")
    public static let invalidAuthorization = Class(rawValue: "28")
    public static let transactionRollback = Class(rawValue: "40")
    public static let insufficientResources = Class(rawValue: "53")
    public static let programLimitExceeded = Class(rawValue: "54")
    public static let operatorIntervention = Class(rawValue: "57")
    public static let systemError = Class(rawValue: "58")
  }

  public static let featureNotSupported = SQLState(rawValue: "0A000")
  public static let notNullViolation = SQLState(rawValue: "23502")
  public static let uniqueViolation = SQLState(rawValue: "23505")
  public static let checkViolation = SQLState(rawValue: "23514")
  /// A write where nothing may be written, as on a standby.
  public static let readOnlyTransaction = SQLState(rawValue: "25006")
  public static let serializationFailure = SQLState(rawValue: "40001")
  public static let deadlockDetected = SQLState(rawValue: "40P01")
  public static let undefinedTable = SQLState(rawValue: "42P01")
  public static let diskFull = SQLState(rawValue: "53100")
  public static let outOfMemory = SQLState(rawValue: "53200")
  public static let tooManyConnections = SQLState(rawValue: "53300")
  public static let lockNotAvailable = SQLState(rawValue: "55P03")
  public static let queryCanceled = SQLState(rawValue: "57014")
  public static let adminShutdown = SQLState(rawValue: "57P01")
  public static let crashShutdown = SQLState(rawValue: "57P02")
  public static let cannotConnectNow = SQLState(rawValue: "57P03")
}
