import Foundation
import Tensors
import TestModels
import Testing

@Suite("Row operations")
struct RowOperationTests {
  static let lengths = [1, 7, 15, 16, 17, 31, 64, 100, 577]

  @Test("All paths give the same bits", arguments: lengths)
  func sameBits(count: Int) throws {
    var numbers = SeededNumbers(seed: UInt64(count))
    let x = numbers.floats(count, in: -30...30)
    let y = numbers.floats(count)
    let scalar = try Compute(path: .scalar)
    for path in fastPaths {
      let fast = try Compute(path: path)
      #expect(bits(norm(x, y, fast)) == bits(norm(x, y, scalar)))
      #expect(bits(swiglu(x, y, fast)) == bits(swiglu(x, y, scalar)))
      #expect(bits(exp(x, fast)) == bits(exp(x, scalar)))
      let top = x.max() ?? 0
      let sums = [fast, scalar].map { $0.sumExp(x, count: count, shift: top) }
      #expect(sums[0].bitPattern == sums[1].bitPattern)
      #expect(fast.argmax(x, count: count) == scalar.argmax(x, count: count))
    }
  }

  @Test("Parts of rows are added, and nothing beside them", arguments: lengths)
  func adds(count: Int) throws {
    var numbers = SeededNumbers(seed: UInt64(count))
    let stride = count + 3
    let x = numbers.floats(stride * 9)
    let y = numbers.floats(stride * 9)
    for path in fastPaths + [.scalar] {
      var sums = x
      try Compute(path: path).add(&sums, y, rows: 9, stride: stride, count: count)
      let expected = x.indices.map { $0 % stride < count ? x[$0] + y[$0] : x[$0] }
      #expect(bits(sums) == bits(expected))
    }
  }

  @Test("RMSNorm agrees with its formula in double precision")
  func normFormula() throws {
    var numbers = SeededNumbers(seed: 31)
    let x = numbers.floats(301, in: -3...3)
    let weight = numbers.floats(301)
    let mean = x.reduce(0.0) { $0 + Double($1) * Double($1) } / 301
    let out = norm(x, weight, try Compute(path: .auto))
    for index in x.indices {
      let exact = Double(x[index]) / (mean + 1e-5).squareRoot() * Double(weight[index])
      #expect(abs(Double(out[index]) - exact) < 1e-5)
    }
  }

  @Test("exp is within 2 units in the last place, 1 at 0, 0 far below, NaN for NaN")
  func expBound() throws {
    let compute = try Compute(path: .auto)
    let x = stride(from: Float(-87.3), through: 88.3, by: 0.001).map { $0 }
    for (value, result) in zip(x, exp(x, compute)) {
      let exact = Foundation.exp(Double(value))
      #expect(abs(Double(result) - exact) <= 2 * Double(Float(exact).ulp), "exp(\(value))")
    }
    let edges = exp([0, -0.0, -88, -.infinity, .nan, 100, .infinity], compute)
    #expect(edges[0] == 1 && edges[1] == 1 && edges[2] == 0 && edges[3] == 0)
    #expect(edges[4].isNaN && edges[5].isFinite && edges[5] == edges[6])
  }

  @Test("SwiGLU agrees with its formula")
  func swigluFormula() throws {
    let gate: [Float] = [-200, -20, -1, 0, 0.5, 3, 60]
    let up: [Float] = [1, 2, 3, 4, 5, 6, 7]
    let out = swiglu(gate, up, try Compute(path: .auto))
    for index in gate.indices {
      let g = Double(gate[index])
      let exact = g / (1 + Foundation.exp(-g)) * Double(up[index])
      #expect(abs(Double(out[index]) - exact) <= 1e-6 * max(1, abs(exact)))
    }
  }

  @Test(
    "argmax takes the first of equals and refuses what is not finite",
    arguments: [
      KernelPath.scalar, .auto,
    ])
  func argmaxRules(path: KernelPath) throws {
    let compute = try Compute(path: path)
    var x = [Float](repeating: 1, count: 50)
    x[37] = 5
    x[21] = 5
    x[49] = 5
    #expect(compute.argmax(x, count: 50) == 21)
    for place in [0, 3, 33, 49] {
      for bad in [Float.nan, .infinity, -.infinity] {
        var broken = x
        broken[place] = bad
        #expect(compute.argmax(broken, count: 50) == nil)
      }
    }
    #expect(compute.argmax([-3], count: 1) == 0)
  }

  private func norm(_ x: [Float], _ weight: [Float], _ compute: Compute) -> [Float] {
    var out = [Float](repeating: 0, count: x.count)
    compute.rmsNorm(x, weight: weight, count: x.count, epsilon: 1e-5, out: &out)
    return out
  }

  private func swiglu(_ gate: [Float], _ up: [Float], _ compute: Compute) -> [Float] {
    var out = gate
    compute.swiglu(gate: &out, up: up, count: gate.count)
    return out
  }

  private func exp(_ x: [Float], _ compute: Compute) -> [Float] {
    var out = [Float](repeating: 0, count: x.count)
    compute.exp(x, count: x.count, out: &out)
    return out
  }
}
