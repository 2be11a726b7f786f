/// A tensor info as the file states it: the offset counts from the start of the tensor data.
struct RawTensorInfo {
  let name: String
  let shape: [Int]
  let type: GGUFTensorType
  let byteCount: Int
  let dataOffset: UInt64
  /// Where the info itself starts in the file.
  let place: Int

  /// Reads one info and checks what can be known without the others: name, shape, type and size.
  init(_ cursor: inout GGUFCursor) throws(ModelFormatError) {
    let start = cursor.offset
    place = start
    name = try cursor.string("A tensor name", limit: cursor.limits.tensorNameBytes)
    guard !name.isEmpty else {
      throw cursor.fault(.malformed, "A tensor has no name", at: start)
    }
    let title = "The tensor \(quoted(name))"
    let dimensionsPlace = cursor.offset
    let dimensions: UInt32 = try cursor.number(title)
    guard (1...cursor.limits.dimensions).contains(Int(dimensions)) else {
      throw cursor.fault(
        .malformed,
        "\(title) has \(dimensions) dimensions; 1 to \(cursor.limits.dimensions) are possible",
        at: dimensionsPlace)
    }
    let shapePlace = cursor.offset
    let raw: [UInt64] = try cursor.numbers(Int(dimensions), title)
    let typePlace = cursor.offset
    let typeID: UInt32 = try cursor.number(title)
    guard let type = GGUFTensorType(rawValue: typeID) else {
      throw ModelFormatError(
        code: .unknownTensorType,
        message: "\(title) has the unknown type \(typeID); convert or quantize the model to a "
          + "known type such as F16 or Q8_0.", byteOffset: typePlace)
    }
    self.type = type
    guard let (shape, byteCount) = Self.size(raw, type) else {
      throw cursor.fault(
        .malformed,
        "\(title) has the shape \(raw), which is empty, too large, or no whole number of "
          + "\(type.name) blocks of \(type.blockElements) in a row", at: shapePlace)
    }
    self.shape = shape
    self.byteCount = byteCount
    dataOffset = try cursor.number(title)
  }

  /// The shape in Swift's numbers and the bytes it takes; nil when it is empty, when a product
  /// overflows, or when a row is not a whole number of blocks.
  static func size(_ raw: [UInt64], _ type: GGUFTensorType) -> (shape: [Int], byteCount: Int)? {
    var shape: [Int] = []
    var elements = 1
    for extent in raw {
      guard let extent = Int(exactly: extent), extent > 0 else { return nil }
      let (product, overflow) = elements.multipliedReportingOverflow(by: extent)
      if overflow { return nil }
      elements = product
      shape.append(extent)
    }
    guard let row = shape.first, row % type.blockElements == 0 else { return nil }
    let blocks = elements / type.blockElements
    let (byteCount, overflow) = blocks.multipliedReportingOverflow(by: type.blockBytes)
    return overflow ? nil : (shape, byteCount)
  }

  /// The tensor with its place in the file; throws where it is misaligned or not inside the file.
  func placed(
    dataOffset start: Int, alignment: Int, fileBytes: Int
  ) throws(ModelFormatError) -> GGUFTensorInfo {
    guard dataOffset % UInt64(alignment) == 0 else {
      throw ModelFormatError(
        code: .badTensorRange,
        message: "The tensor \(quoted(name)) starts at \(dataOffset), which is no multiple of the "
          + "alignment \(alignment); the file is damaged: fetch or convert it again.",
        byteOffset: place)
    }
    // byteCount and start are at most Int.max, so the subtractions cannot overflow.
    guard let offset = Int(exactly: dataOffset), start <= fileBytes,
      offset <= fileBytes - start, byteCount <= fileBytes - start - offset
    else {
      throw ModelFormatError(
        code: .badTensorRange,
        message: "The tensor \(quoted(name)) (\(byteCount) bytes at \(dataOffset) of the data) "
          + "ends behind the file's \(fileBytes) bytes; the file is incomplete: fetch it again.",
        byteOffset: place)
    }
    return GGUFTensorInfo(
      name: name, shape: shape, type: type, byteCount: byteCount, fileOffset: start + offset)
  }
}
