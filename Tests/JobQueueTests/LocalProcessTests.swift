import Foundation
import JobQueue
import Testing

@Suite("A process of this machine") struct LocalProcessTests {
  private static func stat(name: String, state: String) -> String {
    "17 (\(name)) \(state) 1 17 17 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0 0\n"
  }

  @Test("is read from its line, whatever its program is called", arguments: ["a", "a b) Z 1 (c"])
  func line(name: String) throws {
    let running = try #require(LocalProcess(stat: Self.stat(name: name, state: "S")))
    #expect(running.start == 4_711)
    #expect(!running.isEnded)
    let ended = try #require(LocalProcess(stat: Self.stat(name: name, state: "Z")))
    #expect(ended.isEnded)
    #expect(LocalProcess(stat: "17 (cut) S 1") == nil)
    #expect(LocalProcess(stat: "") == nil)
  }

  @Test("is this one, for one")
  func current() throws {
    let mine = try #require(LocalProcess.current)
    #expect(!mine.isEnded)
    #expect(LocalProcess(ProcessInfo.processInfo.processIdentifier) == mine)
    #expect(LocalProcess(Int32.max) == nil)
  }
}
