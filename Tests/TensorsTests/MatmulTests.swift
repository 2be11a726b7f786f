import Tensors
import TestModels
import Testing

@Suite("Matrix multiplication")
struct MatmulTests {
  static let shapes: [(rows: Int, columns: Int, tokens: Int)] = [
    (1, 32, 1), (16, 64, 2), (17, 96, 3), (31, 32, 5), (64, 160, 8), (65, 224, 9), (80, 128, 19),
    (130, 512, 1), (33, 1024, 31), (70, 2112, 7), (300, 64, 14), (41, 1120, 131), (330, 4160, 21),
    (50, 2112, 1), (33, 2112, 3), (50, 2112, 4), (100, 2112, 17), (70, 2112, 20),
    // Last row groups of 11, of 8, of 9 and of 2.
    (43, 2112, 1), (24, 96, 1), (41, 2112, 2), (50, 96, 2),
  ]
  static let quantized: [DType] = DType.allCases.filter(\.quantizesActivations)

  /// Columns that the type can have: an odd tail for floats, whole blocks for others.
  private func columns(_ type: DType, _ columns: Int) -> Int {
    switch type.blockElements {
    case 1: columns - 3
    case 32: columns
    default: columns * 8
    }
  }

  /// Of the groups given; rows of other groups keep what was there, a 7.
  private func product(
    _ matrix: PackedMatrix, _ rows: [[Float]], _ path: KernelPath, groups: Range<Int>? = nil,
    ahead: MatrixView.Place? = nil
  ) throws -> [Float] {
    let compute = try Compute(path: path)
    let input = try activations(rows, type: matrix.type, path: path)
    // A canary behind every row shows a store out of bounds.
    let stride = matrix.shape.rows + 1
    var out = [Float](repeating: 7, count: rows.count * stride)
    compute.matmul(
      matrix.view, input.view, tokens: 0..<rows.count, groups: groups ?? 0..<matrix.groups,
      ahead: ahead, out: &out, outStride: stride)
    withExtendedLifetime((matrix, input)) {}
    for token in rows.indices { #expect(out[token * stride + matrix.shape.rows] == 7) }
    return out
  }

  @Test(
    "All paths give the same bits for every weight type, shape and tail", arguments: DType.allCases)
  func samePathBits(type: DType) throws {
    var numbers = SeededNumbers(seed: 11)
    for (rows, columns, tokens) in Self.shapes {
      let shape = MatrixShape(rows: rows, columns: self.columns(type, columns))
      let bytes = randomMatrixBytes(type, shape, &numbers)
      let matrix = try pack(type, shape, bytes, threads: 2)
      let input = (0..<tokens).map { _ in numbers.activations(shape.columns) }
      let reference = bits(try product(matrix, input, .scalar))
      for path in fastPaths {
        #expect(bits(try product(matrix, input, path)) == reference, "\(path) \(shape) x \(tokens)")
      }
    }
  }

  @Test("A range of row groups is computed as in the whole, and nothing beside it")
  func partOfTheGroups() throws {
    var numbers = SeededNumbers(seed: 15)
    for type in DType.allCases {
      // Several runs of blocks on every path.
      let wide = type.blockElements == 256 ? 2304 : columns(type, 2112)
      let shape = MatrixShape(rows: 150, columns: wide)
      let matrix = try pack(type, shape, randomMatrixBytes(type, shape, &numbers))
      for tokens in [1, 2, 3, 9, 17] {
        let input = (0..<tokens).map { _ in numbers.floats(shape.columns) }
        for path in fastPaths + [.scalar] {
          let whole = try product(matrix, input, path)
          for groups in [1..<2, 3..<matrix.groups, 2..<5, 0..<1, 4..<4] {
            let part = try product(matrix, input, path, groups: groups)
            let rows = groups.lowerBound * 16..<min(groups.upperBound * 16, shape.rows)
            let expected = whole.enumerated().map { index, value in
              rows.contains(index % (shape.rows + 1)) ? value : 7
            }
            #expect(bits(part) == bits(expected), "\(type) \(path) \(groups) x \(tokens)")
          }
        }
      }
    }
  }

  @Test("What is fetched ahead changes nothing, of whatever type and shape it is")
  func fetchedAhead() throws {
    var numbers = SeededNumbers(seed: 17)
    let matrices = try [(20, 96), (70, 2304), (16, 256)].flatMap { rows, columns in
      try DType.allCases.map { type in
        let shape = MatrixShape(rows: rows, columns: self.columns(type, columns))
        return try pack(type, shape, randomMatrixBytes(type, shape, &numbers))
      }
    }
    for matrix in matrices {
      let input = (0..<9).map { _ in numbers.floats(matrix.shape.columns) }
      for path in fastPaths + [.scalar] {
        for tokens in [1, 2, 9] {
          let some = Array(input.prefix(tokens))
          let reference = bits(try product(matrix, some, path))
          for next in matrices {
            for group in [0, next.groups - 1] {
              let ahead = MatrixView.Place(matrix: next.view, group: group)
              #expect(bits(try product(matrix, some, path, ahead: ahead)) == reference)
            }
          }
        }
      }
    }
  }

  @Test("A stack counts its matrices' row groups through")
  func stack() throws {
    var numbers = SeededNumbers(seed: 18)
    let matrices = try [40, 16, 100].map { (rows: Int) -> PackedMatrix in
      let shape = MatrixShape(rows: rows, columns: 32)
      return try pack(.q8, shape, randomMatrixBytes(.q8, shape, &numbers))
    }
    let stack = MatrixStack(matrices[0], matrices[1], matrices[2])
    #expect(stack.view.groups == 11)
    let places = (0..<12).map { stack.view.place(of: $0) }
    #expect(places.map { $0?.group } == [0, 1, 2, 0, 0, 1, 2, 3, 4, 5, 6, nil])
    #expect(
      places.map { $0?.matrix.rows } == [40, 40, 40, 16] + Array(repeating: 100, count: 7) + [nil])
    var found: [(rows: Int, groups: Range<Int>, before: Int)] = []
    stack.view.forEach(in: 2..<6) { found.append(($0.rows, $1, $2)) }
    #expect(found.map(\.rows) == [40, 16, 100])
    #expect(found.map(\.groups) == [2..<3, 0..<1, 0..<2])
    #expect(found.map(\.before) == [0, 40, 56])
  }

  @Test(
    "A row that cannot be quantized gives NaN for its own token only",
    arguments: quantized)
  func marksWhatIsNotFinite(type: DType) throws {
    var numbers = SeededNumbers(seed: 17)
    let shape = MatrixShape(rows: 50, columns: 4_352)
    let matrix = try pack(type, shape, randomMatrixBytes(type, shape, &numbers))
    let whole = (0..<5).map { _ in numbers.activations(shape.columns) }
    var damaged = whole
    damaged[2][4_000] = -.infinity
    for path in fastPaths + [.scalar] {
      let before = bits(try product(matrix, whole, path))
      let after = try product(matrix, damaged, path)
      for token in 0..<5 {
        let row = token * 51..<token * 51 + 50
        if token == 2 {
          #expect(after[row].allSatisfy { $0.isNaN })
        } else {
          #expect(bits(Array(after[row])) == Array(before[row]))
        }
      }
    }
  }

  @Test("No tokens give nothing", arguments: DType.allCases)
  func noTokens(type: DType) throws {
    var numbers = SeededNumbers(seed: 16)
    let shape = MatrixShape(rows: 40, columns: columns(type, 64))
    let matrix = try pack(type, shape, randomMatrixBytes(type, shape, &numbers))
    for path in fastPaths + [.scalar] {
      var out = [Float](repeating: 7, count: 41)
      let input = try activations([numbers.floats(shape.columns)], type: type, path: path)
      try Compute(path: path).matmul(
        matrix.view, input.view, tokens: 0..<0, groups: 0..<matrix.groups, out: &out, outStride: 41)
      #expect(out.allSatisfy { $0 == 7 })
    }
  }

  @Test("A token's result does not depend on the tokens beside it", arguments: DType.allCases)
  func sameForAnyBatch(type: DType) throws {
    var numbers = SeededNumbers(seed: 12)
    let shape = MatrixShape(rows: 50, columns: columns(type, 96))
    let matrix = try pack(type, shape, randomMatrixBytes(type, shape, &numbers))
    let input = (0..<21).map { _ in numbers.floats(shape.columns) }
    for path in fastPaths + [.scalar] {
      let together = try product(matrix, input, path)
      for tokens in 1...6 {
        for first in stride(from: 0, to: input.count - tokens, by: tokens) {
          let some = try product(matrix, Array(input[first..<first + tokens]), path)
          #expect(bits(some) == bits(Array(together[first * 51..<(first + tokens) * 51])))
        }
      }
    }
  }

  @Test("Float weights agree with double precision", arguments: [DType.f32, .f16, .bf16])
  func agreesWithDoubles(type: DType) throws {
    var numbers = SeededNumbers(seed: 13)
    let shape = MatrixShape(rows: 37, columns: 301)
    let bytes = randomMatrixBytes(type, shape, &numbers)
    let weights = unpack(type, shape, bytes)
    let row = numbers.floats(shape.columns)
    let result = try product(try pack(type, shape, bytes), [row], .auto)
    for (index, weightRow) in weights.enumerated() {
      let exact = zip(weightRow, row).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      #expect(abs(Double(result[index]) - exact) < 1e-4)
    }
  }

  @Test(
    "Quantized weights agree with double precision to the activations' quantization",
    arguments: Self.quantized)
  func quantizedAgreesWithDoubles(type: DType) throws {
    var numbers = SeededNumbers(seed: 14)
    let shape = MatrixShape(rows: 40, columns: 512)
    let bytes = randomMatrixBytes(type, shape, &numbers)
    let weights = unpack(type, shape, bytes)
    let row = numbers.activations(shape.columns)
    let largest = row.map(abs).max() ?? 0
    // Each activation is off by at most half a step; steps are less than twice as large as the
    // block's largest magnitude asks for, and not finer than 2^-20 of the row's.
    let steps = row.indices.map { column in
      let block = row[column / 32 * 32..<(column / 32 + 1) * 32]
      return Double(max(2 * (block.map(abs).max() ?? 0), largest * 0x1p-20)) / 127
    }
    let result = try product(try pack(type, shape, bytes), [row], .auto)
    for (index, weightRow) in weights.enumerated() {
      let exact = zip(weightRow, row).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
      let bound = zip(weightRow, steps).reduce(0.0) { $0 + Double(abs($1.0)) * $1.1 / 2 }
      #expect(abs(Double(result[index]) - exact) <= bound + 1e-4)
    }
  }

  @Test("Bytes that are not the shape's are refused")
  func refusesWrongByteCount() throws {
    #expect(throws: TensorError.self) {
      try pack(.f32, MatrixShape(rows: 4, columns: 4), [UInt8](repeating: 0, count: 60))
    }
    #expect(throws: TensorError.self) {
      try pack(.q6K, MatrixShape(rows: 1, columns: 128), [UInt8](repeating: 0, count: 105))
    }
    #expect(throws: TensorError.self) {
      try pack(.q8, MatrixShape(rows: 1, columns: 33), [UInt8](repeating: 0, count: 34))
    }
  }
}
