import Foundation
import SwiftProtobuf

/// Finds the protocol's files by name and by what they define.
struct DescriptorIndex: Sendable {
  private var files: [String: [UInt8]] = [:]
  private var dependencies: [String: [String]] = [:]
  private var fileOfSymbol: [String: String] = [:]
  private(set) var services: [String] = []

  /// - Parameter base64: a serialised `FileDescriptorSet`, imports included.
  init(base64: String) throws {
    let bytes = Data(base64Encoded: base64, options: .ignoreUnknownCharacters) ?? Data()
    for file in try Google_Protobuf_FileDescriptorSet(serializedBytes: bytes).file {
      files[file.name] = try file.serializedBytes()
      dependencies[file.name] = file.dependency
      let package = file.package.isEmpty ? "" : file.package + "."
      for message in file.messageType { add(message, in: package, of: file.name) }
      for enumeration in file.enumType { add(enumeration, in: package, of: file.name) }
      for service in file.service {
        services.append(package + service.name)
        fileOfSymbol[package + service.name] = file.name
        for method in service.method {
          fileOfSymbol["\(package)\(service.name).\(method.name)"] = file.name
        }
      }
    }
    services.sort()
  }

  /// A file and everything that it imports, the file first; `nil` for an unknown name.
  func closure(ofFile name: String) -> [[UInt8]]? {
    guard files[name] != nil else { return nil }
    var names = [name]
    var next = 0
    while next < names.count {
      names += (dependencies[names[next]] ?? []).filter { !names.contains($0) }
      next += 1
    }
    return names.compactMap { files[$0] }
  }

  func closure(ofSymbol symbol: String) -> [[UInt8]]? {
    fileOfSymbol[symbol].flatMap(closure(ofFile:))
  }

  func isMessage(_ name: String) -> Bool { fileOfSymbol[name] != nil }

  private mutating func add(
    _ message: Google_Protobuf_DescriptorProto, in scope: String, of file: String
  ) {
    let name = scope + message.name
    fileOfSymbol[name] = file
    for field in message.field { fileOfSymbol["\(name).\(field.name)"] = file }
    for inner in message.nestedType { add(inner, in: name + ".", of: file) }
    for inner in message.enumType { add(inner, in: name + ".", of: file) }
  }

  private mutating func add(
    _ enumeration: Google_Protobuf_EnumDescriptorProto, in scope: String, of file: String
  ) {
    fileOfSymbol[scope + enumeration.name] = file
    for value in enumeration.value { fileOfSymbol[scope + value.name] = file }
  }
}
