import Messages
import SwiftProtobuf

extension Message {
  /// The message in the JSON mapping of protobuf, with the field names of the `.proto` files.
  func jsonLine() throws -> String {
    ErrorDetails.register()
    var options = JSONEncodingOptions()
    options.preserveProtoFieldNames = true
    return try jsonString(options: options)
  }
}

/// The messages that the details of an error can hold. JSON shows what is in a detail, so their
/// types must be known by name.
private enum ErrorDetails {
  private static let registered: Void = {
    let types: [any Message.Type] = [
      Google_Rpc_ErrorInfo.self, Google_Rpc_RetryInfo.self, Google_Rpc_BadRequest.self,
    ]
    for type in types { Google_Protobuf_Any.register(messageType: type) }
  }()

  static func register() { registered }
}
