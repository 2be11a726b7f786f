// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that the service's build does not know it.
let package = Package(
  name: "rpc-benchmark",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "millrace", path: "../.."),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    .executableTarget(
      name: "rpc-echo-server",
      dependencies: [
        .product(name: "RPC", package: "millrace"),
        .product(name: "Logging", package: "swift-log"),
      ],
      swiftSettings: [
        .swiftLanguageMode(.v6),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
      ])
  ]
)
