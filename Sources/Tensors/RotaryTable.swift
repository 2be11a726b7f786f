import CKernels

/// Cosines and sines of rotary position embedding, for all positions of a context.
///
/// The angle of pair i at position p is p * frequency[i]; computed in double precision by
/// polynomials that give the same bits on every machine, then rounded (Su et al., RoFormer, 2021).
package final class RotaryTable {
  /// Rotated pairs in a head.
  package let pairs: Int
  private let cosineRows: AlignedBuffer<Float>
  private let sineRows: AlignedBuffer<Float>

  /// Computes the table; throws where there is no memory for it.
  package init(frequencies: [Double], positions: Int) throws(TensorError) {
    pairs = frequencies.count
    cosineRows = try AlignedBuffer(count: positions * frequencies.count)
    sineRows = try AlignedBuffer(count: positions * frequencies.count)
    mk_rope_table(
      0, positions, frequencies, frequencies.count, cosineRows.base, sineRows.base)
  }

  /// The frequencies base^(-2i / dimension), each times `scale` and divided by its factor, if any.
  package static func frequencies(
    dimension: Int, base: Double, scale: Double = 1, factors: [Float] = []
  ) -> [Double] {
    let logarithm = Compute.log(base)
    return (0..<dimension / 2).map { pair in
      let plain = Compute.exp(-2 * Double(pair) / Double(dimension) * logarithm)
      return plain * scale / (factors.isEmpty ? 1 : Double(factors[pair]))
    }
  }

  /// As work on several threads takes it; valid for as long as the table is there.
  package var view: View {
    View(pairs: pairs, cosineRows: cosineRows.base, sineRows: sineRows.base)
  }

  /// The table without its owner.
  package struct View: BitwiseCopyable {
    let pairs: Int
    fileprivate let cosineRows: UnsafePointer<Float>
    fileprivate let sineRows: UnsafePointer<Float>

    fileprivate init(
      pairs: Int, cosineRows: UnsafeMutablePointer<Float>, sineRows: UnsafeMutablePointer<Float>
    ) {
      self.pairs = pairs
      self.cosineRows = UnsafePointer(cosineRows)
      self.sineRows = UnsafePointer(sineRows)
    }

    func cosines(at position: Int) -> UnsafePointer<Float> { cosineRows + position * pairs }
    func sines(at position: Int) -> UnsafePointer<Float> { sineRows + position * pairs }
  }
}
