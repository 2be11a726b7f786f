import Foundation

/// The small models that come with Millrace: a storyteller, and its draft.
///
/// They are looked for in the folder that `MILLRACE_MODEL_FOLDER` names, or else in `models` or
/// `share/millrace/models` beside the program or in a folder above it, so that they are found both
/// in a checkout and in an installation.
struct BundledModels {
  /// What the storyteller is served as.
  static let name = "storyteller"

  /// The storyteller's file, if there is one.
  let storyteller: String?
  /// The file of its draft for speculation, if there is one.
  let draft: String?

  init(
    environment: [String: String] = ProcessInfo.processInfo.environment,
    program: String? = Bundle.main.executablePath
  ) {
    let folders =
      environment["MILLRACE_MODEL_FOLDER"].map { [$0] } ?? Self.folders(above: program ?? "")
    func find(_ name: String) -> String? {
      folders.map { "\($0)/\(name)" }.first { FileManager.default.isReadableFile(atPath: $0) }
    }
    storyteller = find("storyteller-q8_0.gguf")
    draft = find("storyteller-draft-q8_0.gguf")
  }

  /// The path of the storyteller, for a command that was given no other model.
  func required() throws(CommandFailure) -> String {
    guard let storyteller else {
      throw CommandFailure(
        "there is no model to use: the bundled storyteller was not found; give a GGUF file with "
          + "--model, or name the folder of the bundled models in MILLRACE_MODEL_FOLDER")
    }
    return storyteller
  }

  private static let levels = 5

  private static func folders(above program: String) -> [String] {
    var folders: [String] = []
    var folder = URL(fileURLWithPath: program).resolvingSymlinksInPath()
    for _ in 0..<levels where folder.path != "/" {
      folder.deleteLastPathComponent()
      folders += [folder.path + "/models", folder.path + "/share/millrace/models"]
    }
    return folders
  }
}
