import Foundation
import Messages
public import RPC
import SwiftProtobuf

/// The standard `grpc.reflection.v1.ServerReflection`.
public struct ReflectionService: Sendable {
  private let index: DescriptorIndex
  private let services: [String]

  /// - Parameter services: the full names of the services to tell of.
  public init(services: [String]) throws {
    index = try DescriptorIndex(base64: fileDescriptorSetBase64)
    self.services = services.sorted()
  }

  /// The service under its name and under the one it had before, which many clients still call:
  /// the messages are the same.
  public var methods: [MethodHandler] {
    ["v1", "v1alpha"].map { version in
      .bidirectional("/grpc.reflection.\(version).ServerReflection/ServerReflectionInfo") {
        requests, _, writer in
        for try await bytes in requests {
          guard
            let request = try? Grpc_Reflection_V1_ServerReflectionRequest(serializedBytes: bytes)
          else { throw ServiceError.malformed }
          try await writer.write(try answer(request).serializedBytes())
        }
      }
    }
  }

  func answer(
    _ request: Grpc_Reflection_V1_ServerReflectionRequest
  ) -> Grpc_Reflection_V1_ServerReflectionResponse {
    var response = Grpc_Reflection_V1_ServerReflectionResponse()
    response.validHost = request.host
    response.originalRequest = request
    switch request.messageRequest {
    case .listServices:
      response.listServicesResponse.service = services.map { name in
        var service = Grpc_Reflection_V1_ServiceResponse()
        service.name = name
        return service
      }
    case .fileByFilename(let name):
      answer(&response, index.closure(ofFile: name), "there is no file \(name.cut(toBytes: 256))")
    case .fileContainingSymbol(let symbol):
      answer(&response, index.closure(ofSymbol: symbol), "there is no \(symbol.cut(toBytes: 256))")
    case .allExtensionNumbersOfType(let type):
      if index.isMessage(type) {
        response.allExtensionNumbersResponse.baseTypeName = type
      } else {
        answer(&response, nil, "there is no message \(type.cut(toBytes: 256))")
      }
    case .fileContainingExtension:
      answer(&response, nil, "the protocol has no extensions")
    case nil:
      response.errorResponse.errorCode = StatusCode.invalidArgument.rawValue
      response.errorResponse.errorMessage = "the request asks for nothing"
    }
    return response
  }

  private func answer(
    _ response: inout Grpc_Reflection_V1_ServerReflectionResponse, _ files: [[UInt8]]?,
    _ absent: String
  ) {
    if let files {
      response.fileDescriptorResponse.fileDescriptorProto = files.map { Data($0) }
    } else {
      response.errorResponse.errorCode = StatusCode.notFound.rawValue
      response.errorResponse.errorMessage = absent
    }
  }
}
