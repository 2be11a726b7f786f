import Tensors
import TestModels
import Testing

/// Packed weights are kept in files, which later versions of the program map as they are.
@Suite("Packed layouts")
struct PackedLayoutTests {
  /// What a version packs a matrix of one type into.
  struct Golden: Sendable, CustomTestStringConvertible {
    let type: DType
    let bytes: UInt64
    var testDescription: String { type.rawValue }
  }

  /// The version that these are of. Where a layout changes on purpose: raise `PackedLayout.version`,
  /// and this.
  static let version = 2
  static let goldens = [
    Golden(type: .f32, bytes: 0xC7DA_CB7D_346B_2E47),
    Golden(type: .f16, bytes: 0x4E26_FB3B_154A_1450),
    Golden(type: .bf16, bytes: 0xC8C0_9535_3364_E2B2),
    Golden(type: .q8, bytes: 0x2A9E_7A00_D7B6_5A69),
    Golden(type: .q5, bytes: 0xC36B_5FD5_D0F8_632D),
    Golden(type: .q4, bytes: 0x80D9_DC77_9363_7DA9),
    Golden(type: .q4K, bytes: 0x6D99_065D_657D_EE95),
    Golden(type: .q6K, bytes: 0x24C3_59B9_D51B_84A8),
  ]

  @Test("A matrix is packed into the bytes of the stated version", arguments: goldens)
  func golden(expected: Golden) throws {
    #expect(PackedLayout.version == Self.version)
    var numbers = SeededNumbers(seed: 12)
    // Rows that do not fill a group.
    let layout = try PackedLayout(type: expected.type, shape: MatrixShape(rows: 37, columns: 512))
    let source = randomMatrixBytes(expected.type, layout.shape, &numbers)
    let packed = try AlignedBuffer<UInt8>(count: layout.byteCount)
    let pool = try ThreadPool(threads: 2)
    try source.withUnsafeBytes { try layout.pack($0, into: packed.base, pool: pool) }
    #expect(fnv1a(packed.base, count: layout.byteCount) == expected.bytes)
  }

  /// The hash FNV-1a, 64 bits.
  private func fnv1a(_ bytes: UnsafePointer<UInt8>, count: Int) -> UInt64 {
    (0..<count).reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64(bytes[$1])) &* 0x100_0000_01B3 }
  }
}
