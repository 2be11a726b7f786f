// swift-tools-version: 6.2
import PackageDescription

let houseRules: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

func library(
  _ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = [],
  linking libraries: [String] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies, exclude: exclude, swiftSettings: houseRules,
    linkerSettings: libraries.map { .linkedLibrary($0) })
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: houseRules)
}

let log = Target.Dependency.product(name: "Logging", package: "swift-log")
let lifecycle = Target.Dependency.product(
  name: "ServiceLifecycle", package: "swift-service-lifecycle")
let protobuf = Target.Dependency.product(name: "SwiftProtobuf", package: "swift-protobuf")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let arguments = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let signals = Target.Dependency.product(
  name: "UnixSignals", package: "swift-service-lifecycle")
let yaml = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "millrace",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "millrace", targets: ["millrace"]),
    .library(name: "RPC", targets: ["RPC"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // C: system libraries, the gRPC shim, the kernels.
    .systemLibrary(name: "CLibPQ"),
    .target(name: "CGRPC", linkerSettings: [.linkedLibrary("grpc"), .linkedLibrary("gpr")]),
    .target(name: "CKernels"),

    // Transport and storage.
    library("Messages", [protobuf]),
    library("RPC", ["CGRPC", log]),
    library("Postgres", ["CLibPQ", log]),

    // The queue.
    library("JobQueue", [log]),
    library("JobStorePostgres", ["JobQueue", "Postgres", crypto, log, lifecycle]),

    // The engine.
    library("Tensors", ["CKernels"]),
    library("ModelFormats", [crypto]),
    library("Tokenizers"),
    library("Grammars"),
    library("Inference", ["Tensors", "ModelFormats", "Tokenizers", "Grammars", crypto]),

    // The service.
    library("Executors", ["JobQueue", "Inference", log, lifecycle]),
    library("Services", ["RPC", "Messages", "JobQueue", protobuf, log, lifecycle]),
    .executableTarget(
      name: "millrace",
      dependencies: [
        "Messages", "RPC", "Postgres", "JobQueue", "JobStorePostgres", "Tensors", "ModelFormats",
        "Tokenizers", "Inference", "Executors", "Services", arguments, protobuf, lifecycle, signals,
        log,
        yaml,
      ],
      swiftSettings: houseRules),

    // Tests. Those of the whole program, with public clients, are in Tests/System.
    .target(
      name: "TestDatabase", dependencies: ["Postgres", log], path: "Tests/TestDatabase",
      swiftSettings: houseRules),
    .target(
      name: "TestModels", dependencies: ["Inference", "ModelFormats"], path: "Tests/TestModels",
      swiftSettings: houseRules),
    tests(
      "ExecutorsTests",
      ["Executors", "Inference", "JobQueue", "TestModels", lifecycle, log]),
    tests(
      "InferenceTests", ["Inference", "ModelFormats", "Tensors", "Tokenizers", "TestModels"]),
    tests("JobQueueTests", ["JobQueue", log]),
    tests(
      "JobStoreTests", ["JobQueue", "JobStorePostgres", "Postgres", "TestDatabase", log]),
    tests("GrammarsTests", ["Grammars", "TestModels"]),
    tests("ModelFormatsTests", ["ModelFormats", "TestModels"]),
    tests("PostgresTests", ["Postgres", "TestDatabase", log]),
    tests("RPCTests", ["RPC", log]),
    tests("ServicesTests", ["Services", "Messages", "JobQueue", "RPC", protobuf, log]),
    tests("TensorsTests", ["Tensors", "CKernels", "TestModels"]),
    tests("TidyTests", []),
    tests("TokenizersTests", ["Tokenizers", "ModelFormats"]),
  ]
)
