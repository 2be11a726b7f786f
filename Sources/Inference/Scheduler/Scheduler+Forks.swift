import Tensors

/// A block whose content is to be copied over that of another one.
package struct BlockCopy: Hashable {
  package var from: Int32
  package var to: Int32
}

extension Scheduler {
  /// Lets a copy of the first `count` tokens of a sequence go on by itself, under a name that no other
  /// one has; `parent` is known, and in no step.
  ///
  /// The fork stands behind all earlier ones of the same arrival. It shares the blocks that are full;
  /// for the last one it needs one of its own, to which the caller copies what is returned, before
  /// the next step. Where there is none for it even after all that it goes before have given way, it
  /// begins without blocks, to be computed when its turn comes.
  package mutating func fork(
    _ parent: UInt64, into id: UInt64, tokens count: Int
  ) -> BlockCopy? {
    guard let from = index(of: parent) else { return nil }
    forks += 1
    let new = ScheduledSequence(
      sequences[from], id: id, fork: forks, count: count,
      blockLimit: pool.blocks(for: sequences[from].tokenLimit))
    let index = sequences.firstIndex { new.precedes($0) } ?? sequences.count
    sequences.insert(new, at: index)
    // What it was forked from goes before it.
    guard sequences[from].isRunning else { return nil }
    let computed = min(sequences[from].computed, count)
    // What it would see that has left the window of the other one is to be computed again.
    if let window = limits.window,
      window.firstRead(at: computed) / pool.blockTokens < sequences[from].passed
    {
      return nil
    }
    let full = computed / pool.blockTokens
    var copy: BlockCopy?
    var blocks = Array(sequences[from].blocks.prefix(full))
    for block in blocks where block >= 0 { pool.retain(block) }
    if computed % pool.blockTokens > 0 {
      while pool.available == 0, let last = sequences.lastIndex(where: \.isRunning), last > index {
        preempt(last)
      }
      guard let block = pool.take() else {
        pool.release(all: blocks.filter { $0 >= 0 })
        return nil
      }
      copy = BlockCopy(from: sequences[from].blocks[full], to: block)
      blocks.append(block)
    }
    sequences[index].blocks.append(contentsOf: blocks)
    sequences[index].state = .running
    sequences[index].computed = computed
    sequences[index].passed = sequences[from].passed
    sequences[index].published = min(sequences[from].published, full)
    return copy
  }

  /// Adds a token to a sequence that rests.
  package mutating func append(_ token: Int32, to sequence: UInt64) {
    guard let index = index(of: sequence) else { return }
    sequences[index].tokens.append(token)
  }
}
