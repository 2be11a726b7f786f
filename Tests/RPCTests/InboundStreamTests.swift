import RPC
import Testing

@Suite struct InboundStreamTests {
  @Test("a message is asked for only when somebody wants it")
  func demand() {
    var stream = InboundStream()
    #expect(stream.next() == .startAndWait)
    #expect(stream.next() == .alreadyAwaited)
    #expect(stream.received([1]) == true)
    #expect(stream.next() == .startAndWait)
    #expect(stream.received(nil) == true)
    #expect(stream.next() == .ended)
  }

  @Test("what comes after a reader gave up is kept for the next")
  func giveUp() {
    var stream = InboundStream()
    #expect(stream.next() == .startAndWait)
    stream.giveUp()
    #expect(stream.received([5]) == false)
    #expect(stream.next() == .message([5]))
    #expect(stream.next() == .startAndWait)
    stream.giveUp()
    #expect(stream.next() == .wait)
    #expect(stream.received([6]) == true)
  }

  @Test("after the close it has ended")
  func close() {
    var stream = InboundStream()
    #expect(stream.next() == .startAndWait)
    stream.close()
    #expect(stream.received([1]) == false)
    #expect(stream.next() == .ended)
  }
}
