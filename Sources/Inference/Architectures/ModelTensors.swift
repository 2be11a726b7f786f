import ModelFormats
import Tensors

/// The tensors of a model file, each checked against the shape that the configuration asks for.
///
/// It remembers which were asked for: a tensor that nobody asks for is a part of the model that is
/// not computed here, such as a bias, and the text would be wrong without it.
final class ModelTensors {
  /// The file.
  let file: GGUFFile
  /// Where what is repacked goes.
  let memory: any WeightMemory
  /// Threads that repack.
  private let pool: ThreadPool
  private var used: Set<String> = []

  /// No tensor is asked for yet.
  init(file: GGUFFile, memory: any WeightMemory, pool: ThreadPool) {
    self.file = file
    self.memory = memory
    self.pool = pool
  }

  /// A weight matrix, repacked.
  ///
  /// Throws `tensorInvalid` where it is missing or has another shape, `modelUnsupported` for a type
  /// that there are no kernels for.
  func matrix(_ name: String, rows: Int, columns: Int) throws(InferenceError) -> PackedMatrix {
    let info = try tensor(name, shape: [columns, rows])
    let type = try Self.type(of: info)
    let layout: PackedLayout
    do {
      layout = try PackedLayout(type: type, shape: MatrixShape(rows: rows, columns: columns))
    } catch {
      throw InferenceError(error)
    }
    let region = try memory.region(
      "\(name), \(type.rawValue) \(layout.shape)", byteCount: layout.byteCount)
    if !region.isFilled {
      do {
        try layout.pack(file.bytes(of: info), into: region.base, pool: pool)
      } catch {
        throw InferenceError(error)
      }
    }
    return PackedMatrix(layout, memory: region.base, owner: region.owner)
  }

  /// A vector, as floats.
  func vector(_ name: String, count: Int) throws(InferenceError) -> [Float] {
    let info = try tensor(name, shape: [count])
    let type = try Self.type(of: info)
    guard let base = file.bytes(of: info).baseAddress else { return [] }
    return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      guard let out = buffer.baseAddress else { return }
      Compute.dequantize(type, row: base, columns: count, out: out)
      initialized = count
    }
  }

  /// A vector that may be absent.
  func vectorIfPresent(_ name: String, count: Int) throws(InferenceError) -> [Float]? {
    file.tensorIfPresent(named: name) == nil ? nil : try vector(name, count: count)
  }

  /// Throws `modelUnsupported` naming the first tensor that was never asked for, unless it holds
  /// what is computed here anyway.
  func refuseUnused() throws(InferenceError) {
    let derived = [".attn_rot_embd", ".attn_rot_embd.weight"]
    let unused = file.tensors.first { tensor in
      !used.contains(tensor.name) && !derived.contains(where: tensor.name.hasSuffix)
    }
    guard let unused else { return }
    throw InferenceError(
      code: .modelUnsupported,
      message: "The model has a tensor \(quoted(unused.name)), which is not computed here, so its "
        + "text would be wrong; use a model of the family without it.",
      context: ["tensor": printable(unused.name, limit: 80)])
  }

  /// A tensor's description; throws `tensorInvalid` where it is missing or has another shape.
  func tensor(_ name: String, shape: [Int]) throws(InferenceError) -> GGUFTensorInfo {
    guard let info = file.tensorIfPresent(named: name) else {
      throw InferenceError(
        code: .tensorInvalid,
        message: "The model has no tensor \(name); convert the model again, with its weights.",
        context: ["tensor": name])
    }
    guard info.shape == shape else {
      throw InferenceError(
        code: .tensorInvalid,
        message: "The tensor \(name) has the shape \(info.shape) where the model's configuration "
          + "asks for \(shape); convert the model again.",
        context: ["tensor": name])
    }
    used.insert(name)
    return info
  }

  /// The type of a tensor in the kernels' terms; throws `modelUnsupported`.
  static func type(of info: GGUFTensorInfo) throws(InferenceError) -> DType {
    switch info.type {
    case .f32: return .f32
    case .f16: return .f16
    case .bf16: return .bf16
    case .q8_0: return .q8
    case .q5_0: return .q5
    case .q4_0: return .q4
    case .q4K: return .q4K
    case .q6K: return .q6K
    default:
      throw InferenceError(
        code: .modelUnsupported,
        message: "The tensor \(info.name) is stored as \(info.type.name); supported are F32, F16, "
          + "BF16, Q8_0, Q5_0, Q4_0, Q4_K and Q6_K: convert the model to one of them.",
        context: ["tensor": info.name, "type": info.type.name])
    }
  }
}
