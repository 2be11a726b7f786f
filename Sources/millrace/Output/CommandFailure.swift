import Inference
import JobQueue
import ModelFormats
import Postgres
import RPC

/// An error as the person at the terminal sees it: what happened, and what to do about it.
struct CommandFailure: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) {
    self.description = description
  }

  /// Puts an error of any part into words.
  init(_ error: any Error) {
    switch error {
    case let error as CommandFailure: self = error
    case let error as RPCError: self.init("\(error)")
    case let error as InferenceError: self.init("\(error)")
    case let error as ModelFormatError: self.init("\(error)")
    case let error as JobStoreError: self.init("\(error)")
    case let error as PostgresError: self.init("\(error)")
    default: self.init("\(error)")
    }
  }
}

/// Runs a command's body; whatever it throws reaches the terminal in words.
func explaining<Value>(_ body: () throws -> Value) throws -> Value {
  do {
    return try body()
  } catch {
    throw CommandFailure(error)
  }
}
