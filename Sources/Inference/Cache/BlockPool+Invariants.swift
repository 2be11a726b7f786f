extension BlockPool {
  /// What is wrong with the pool, given the blocks of all its users; `nil` if nothing is.
  ///
  /// For tests: every block is free, kept or in use, with as many users as there are; a published
  /// block's parent is published, and is kept only if the block is not in use.
  package func problem(users tables: [[Int32]]) -> String? {
    var expected = Array(repeating: Int32(0), count: count)
    for block in tables.joined() { expected[Int(block)] += 1 }
    guard expected == users else { return "users are \(users) where tables say \(expected)" }
    let unused = free + kept.blocks
    let idle = Set(unused)
    guard idle.count == unused.count, unused.count == available else {
      return "a block is free or kept twice"
    }
    guard idle == Set((0..<Int32(count)).filter { users[Int($0)] == 0 }) else {
      return "a block is lost, or in use and free"
    }
    guard let prefixes else { return kept.count == 0 ? nil : "a block is kept for nothing" }
    if free.contains(where: { prefixes.parent(of: $0) != nil }) {
      return "a published block is free"
    }
    let ages = Dictionary(uniqueKeysWithValues: kept.blocks.enumerated().map { ($1, $0) })
    for block in 0..<Int32(count) {
      guard case .block(let parent) = prefixes.parent(of: block) else { continue }
      guard prefixes.parent(of: parent) != nil else { return "\(block) hangs on a lost block" }
      guard let parentAge = ages[parent] else { continue }
      guard let age = ages[block], age < parentAge else {
        return "\(parent) would be evicted before \(block), which hangs on it"
      }
    }
    return nil
  }
}
