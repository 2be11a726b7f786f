import Testing

@Suite("Targets import only what the architecture allows")
struct ImportTests {
  /// What every target may use: the language's own libraries.
  static let system: Set<String> = [
    "Foundation", "FoundationEssentials", "Synchronization", "Glibc", "Dispatch",
  ]

  /// Who may import whom. Inference never sees a job; JobQueue never sees a tensor or SQL;
  /// Services and Executors know the store only by its protocol.
  static let allowed: [String: Set<String>] = [
    "Messages": ["SwiftProtobuf"],
    "RPC": ["CGRPC", "Logging"],
    "Postgres": ["CLibPQ", "Logging"],
    "JobQueue": ["Logging"],
    "JobStorePostgres": ["JobQueue", "Postgres", "Crypto", "Logging", "ServiceLifecycle"],
    "Tensors": ["CKernels"],
    "ModelFormats": ["Tensors", "Crypto"],
    "Tokenizers": [],
    "Grammars": [],
    "Inference": ["Tensors", "ModelFormats", "Tokenizers", "Grammars", "Crypto"],
    "Executors": ["JobQueue", "Inference", "Logging", "ServiceLifecycle"],
    "Services": [
      "RPC", "Messages", "JobQueue", "SwiftProtobuf", "Logging", "ServiceLifecycle",
    ],
  ]

  @Test("every target keeps to its row of the table")
  func table() throws {
    var seen: Set<String> = []
    for file in try Repository.files(["swift"]) {
      guard let target = file.target, target != "millrace" else { continue }
      seen.insert(target)
      let permitted = try #require(Self.allowed[target], "\(target) has no row in the table")
      for module in Self.imports(of: file) {
        #expect(
          permitted.contains(module) || Self.system.contains(module),
          "\(file.path) imports \(module)")
      }
    }
    #expect(seen == Set(Self.allowed.keys))
  }

  @Test("only the shims include the headers of the C libraries")
  func headers() throws {
    for file in try Repository.files(["c", "h"]) where file.target != nil {
      for line in file.lines where line.hasPrefix("#include <") {
        if line.contains("<grpc/") {
          // Not even in the shim's public headers: Swift sees none of the core's own types.
          #expect(file.target == "CGRPC" && !file.path.contains("/include/"), "\(file.path)")
        }
        if line.contains("postgresql/") { #expect(file.target == "CLibPQ") }
      }
    }
  }

  private static func imports(of file: Repository.File) -> [String] {
    file.lines.compactMap { line in
      let words = line.split(separator: " ").map(String.init)
      guard let index = words.firstIndex(of: "import"), index <= 2, index + 1 < words.count,
        words[..<index].allSatisfy({
          ["public", "package", "internal", "@preconcurrency", "@_exported"].contains($0)
        })
      else { return nil }
      let kinds: Set<String> = ["struct", "class", "enum", "func", "protocol", "typealias", "var"]
      let name = kinds.contains(words[index + 1]) ? words[index + 2] : words[index + 1]
      return String(name.split(separator: ".")[0])
    }
  }
}
