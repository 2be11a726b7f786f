import Inference
import TestModels
import Testing

@Suite("Prefix index")
struct PrefixIndexTests {
  @Test("Prefixes are told apart by their tokens, not by their hashes", arguments: [1, 3, 64])
  func collisions(buckets: Int) {
    var numbers = SeededNumbers(seed: UInt64(buckets))
    var index = PrefixIndex(blocks: 40, blockTokens: 3, buckets: buckets)
    var expected: [Prefix: Int32] = [:]
    for _ in 0..<5_000 {
      let tokens = (0..<3).map { _ in Int32.random(in: 0...1, using: &numbers) }
      let prefix = Prefix(parent: parent(&numbers), tokens: tokens)
      let found = index.find(prefix.tokens[...], after: prefix.parent)
      #expect(found == expected[prefix])
      if let found, Bool.random(using: &numbers) {
        index.remove(found)
        expected[prefix] = nil
      } else if found == nil,
        let block = (0..<Int32(40)).first(where: { index.parent(of: $0) == nil })
      {
        index.insert(block, prefix.tokens[...], after: prefix.parent)
        expected[prefix] = block
      }
      #expect(index.count == expected.count)
    }
    #expect(!expected.isEmpty)
    for (prefix, block) in expected { #expect(index.parent(of: block) == prefix.parent) }
  }

  private struct Prefix: Hashable {
    var parent: PrefixIndex.Parent
    var tokens: [Int32]
  }

  private func parent(_ numbers: inout SeededNumbers) -> PrefixIndex.Parent {
    switch Int.random(in: 0..<6, using: &numbers) {
    case 0: .beginning(salt: nil)
    case 1: .beginning(salt: "")
    case 2: .beginning(salt: "tenant")
    default: .block(Int32.random(in: 0..<3, using: &numbers))
    }
  }

  @Test("A block that is not in the index can be taken out, and nothing happens")
  func absent() {
    var index = PrefixIndex(blocks: 2, blockTokens: 1)
    index.insert(1, [7], after: .beginning(salt: nil))
    index.remove(0)
    #expect(index.count == 1 && index.find([7], after: .beginning(salt: nil)) == 1)
    #expect(index.find([7], after: .block(0)) == nil)
  }
}
