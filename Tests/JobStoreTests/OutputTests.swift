import Foundation
import JobQueue
import Testing

@Suite(.serialized) struct OutputTests {
  @Test("output can be read from any index, in pages of any size", arguments: StoreKind.allCases)
  func pages(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      var next = 0
      for length in [3, 1, 4, 1, 5] {
        let tokens = (next..<next + length).map { Int32($0) }
        #expect(try await test.write(lease, from: next, tokens) == .written)
        next += length
      }
      let all = (0..<14).map { Int32($0) }
      for from in 0...16 {
        for limit in [1, 2, 5, 100] {
          var index = from
          var read: [Int32] = []
          while index < 14 {
            let page = try #require(
              try await test.store.output(of: lease.job, from: index, maxTokens: limit))
            #expect(page.job.usage.outputTokens == 14)
            let first = try #require(page.chunks.first)
            #expect(first.firstIndex == index)
            let count = page.chunks.reduce(0) { $0 + $1.tokens.count }
            #expect(page.chunks.count == 1 || count <= limit)
            for chunk in page.chunks {
              #expect(chunk.firstIndex == index)
              #expect(chunk.text == chunk.tokens.map { " t\($0)" }.joined())
              read += chunk.tokens
              index = chunk.endIndex
            }
          }
          #expect(read == Array(all.dropFirst(from)))
        }
        #expect(try await test.tokens(lease.job, from: from) == Array(all.dropFirst(from)))
      }
      #expect(try await test.store.output(of: test.submission().id, from: 0, maxTokens: 1) == nil)
    }
  }

  @Test("job and chunks are of one moment while another writes", arguments: StoreKind.allCases)
  func consistent(kind: StoreKind) async throws {
    try await withStore(kind) { test in
      let (_, lease) = try await test.running()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          for index in 0..<100 {
            let end: JobEnd? = index == 99 ? .succeeded(.length) : nil
            let result = try await test.write(lease, from: index, [Int32(index)], end: end)
            #expect(result == .written)
          }
        }
        for _ in 0..<3 {
          group.addTask {
            while true {
              let page = try await test.output(lease.job)
              let count = page.chunks.reduce(0) { $0 + $1.tokens.count }
              #expect(count == Int(page.job.usage.outputTokens))
              #expect(page.job.state == (count == 100 ? .succeeded : .running))
              if count == 100 { return }
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }
}
