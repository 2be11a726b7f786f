import JobQueue
import Testing

@Suite("A watched job's topic")
struct WatchTopicTests {
  /// A topic that has been read once: running, with some output.
  private func topic(outputTokens: Int) -> WatchTopic {
    var topic = WatchTopic()
    var position = WatchTopic.Position(index: 0)
    #expect(topic.next(for: &position) == .read(from: 0))
    let chunks = outputTokens > 0 ? [Samples.chunk(0..<outputTokens)] : []
    topic.didRead(
      OutputPage(job: Samples.job(outputTokens: outputTokens), chunks: chunks), from: 0)
    return topic
  }

  @Test("one watcher reads for all")
  func singleFlight() {
    var topic = WatchTopic()
    var first = WatchTopic.Position(index: 0)
    var second = WatchTopic.Position(index: 0)
    #expect(topic.next(for: &first) == .read(from: 0))
    #expect(topic.next(for: &second) == .wait(version: 0))
    topic.didRead(
      OutputPage(job: Samples.job(outputTokens: 3), chunks: [Samples.chunk(0..<3)]), from: 0)
    for var position in [first, second] {
      guard case .deliver(let events) = topic.next(for: &position) else {
        Issue.record("nothing was delivered")
        continue
      }
      #expect(events.count == 2)
      #expect(position.index == 3)
    }
  }

  @Test("a signal with its chunk is delivered without reading")
  func signal() {
    var topic = topic(outputTokens: 2)
    var position = WatchTopic.Position(index: 2, state: .running)
    guard case .wait(let version) = topic.next(for: &position) else {
      Issue.record("there was nothing to wait for")
      return
    }
    topic.didSignal(Samples.chunk(2..<4))
    #expect(topic.version != version)
    #expect(topic.next(for: &position) == .deliver([.tokens(Samples.chunk(2..<4))]))
  }

  @Test("a chunk that was seen already is not delivered twice, nor an overlapping one's beginning")
  func repeated() {
    var topic = topic(outputTokens: 4)
    var position = WatchTopic.Position(index: 4, state: .running)
    topic.didSignal(Samples.chunk(1..<4))
    if case .deliver = topic.next(for: &position) { Issue.record("a repeat was delivered") }
    topic.didSignal(Samples.chunk(3..<6))
    #expect(topic.next(for: &position) == .deliver([.tokens(Samples.chunk(4..<6))]))
  }

  @Test("a gap sends a watcher to the store")
  func gap() {
    var topic = topic(outputTokens: 2)
    var position = WatchTopic.Position(index: 2, state: .running)
    topic.didSignal(Samples.chunk(5..<6))
    #expect(topic.next(for: &position) == .read(from: 2))
  }

  @Test("news during a read are not lost")
  func newsWhileReading() {
    var topic = topic(outputTokens: 1)
    var position = WatchTopic.Position(index: 1, state: .running)
    topic.didSignal(nil)
    #expect(topic.next(for: &position) == .read(from: 1))
    topic.didSignal(nil)
    topic.didRead(OutputPage(job: Samples.job(outputTokens: 1), chunks: []), from: 1)
    #expect(topic.next(for: &position) == .read(from: 1))
  }

  @Test("the end comes after the last token, and only then")
  func end() {
    var topic = topic(outputTokens: 1)
    var position = WatchTopic.Position(index: 1, state: .running)
    topic.didSignal(nil)
    #expect(topic.next(for: &position) == .read(from: 1))
    let job = Samples.job(.succeeded, outputTokens: 3)
    topic.didRead(OutputPage(job: job, chunks: [Samples.chunk(1..<2)]), from: 1)
    #expect(topic.next(for: &position) == .deliver([.tokens(Samples.chunk(1..<2))]))
    #expect(!position.hasFinished)
    #expect(topic.next(for: &position) == .read(from: 2))
    topic.didRead(OutputPage(job: job, chunks: [Samples.chunk(2..<3)]), from: 2)
    #expect(
      topic.next(for: &position) == .deliver([.tokens(Samples.chunk(2..<3)), .finished(job)]))
    #expect(position.hasFinished)
  }

  @Test("who is behind the tail replays from the store, and the tail stays bounded")
  func replay() {
    var topic = topic(outputTokens: 0)
    let step = 1_000
    for start in stride(from: 0, to: 20 * step, by: step) {
      topic.didSignal(Samples.chunk(start..<start + step))
    }
    var position = WatchTopic.Position(index: 0, state: .running)
    guard case .replay(let end) = topic.next(for: &position) else {
      Issue.record("the whole output was kept")
      return
    }
    #expect(end >= 20 * step - WatchTopic.tailTokensLimit - step)
    position.index = end
    guard case .deliver(let events) = topic.next(for: &position) else {
      Issue.record("nothing was delivered after the replay")
      return
    }
    #expect(events.first == .tokens(Samples.chunk(end..<end + step)))
    #expect(position.index == 20 * step)
  }

  @Test("a failed read is tried again after news, not at once")
  func failure() {
    var topic = WatchTopic()
    var position = WatchTopic.Position(index: 0)
    #expect(topic.next(for: &position) == .read(from: 0))
    let version = topic.version
    topic.didFailToRead()
    #expect(topic.version == version)
    topic.markStale()
    #expect(topic.next(for: &position) == .read(from: 0))
  }

  @Test("a look that brings nothing new wakes nobody, and one that does is followed by a read")
  func look() {
    let known = Samples.job(outputTokens: 3)
    var position = WatchTopic.Position(index: 3, state: .running)
    func look(_ progress: JobProgress?) -> WatchTopic.Action {
      var topic = self.topic(outputTokens: 3)
      topic.didLook(progress)
      return topic.next(for: &position)
    }
    #expect(look(known.progress) == .wait(version: 1))
    #expect(look(Samples.job(.succeeded, outputTokens: 3).progress) == .read(from: 3))
    #expect(look(Samples.job(outputTokens: 4).progress) == .read(from: 3))
    #expect(look(JobProgress(state: .running, epoch: 1, outputTokens: 3)) == .read(from: 3))
    #expect(look(nil) == .read(from: 3))
    // A signal may be ahead of what the look saw.
    var topic = self.topic(outputTokens: 3)
    topic.didSignal(Samples.chunk(3..<5))
    #expect(topic.next(for: &position) == .deliver([.tokens(Samples.chunk(3..<5))]))
    topic.didLook(known.progress)
    #expect(topic.next(for: &position) == .wait(version: 2))
  }

  @Test("a look during a read counts if the read's answer is older")
  func lookWhileReading() {
    for (seen, next) in [
      (3, WatchTopic.Action.wait(version: 1)), (4, .read(from: 3)),
    ] {
      var topic = WatchTopic()
      var position = WatchTopic.Position(index: 0)
      #expect(topic.next(for: &position) == .read(from: 0))
      topic.didLook(Samples.job(outputTokens: seen).progress)
      #expect(topic.next(for: &position) == .wait(version: 0))
      let job = Samples.job(outputTokens: 3)
      topic.didRead(OutputPage(job: job, chunks: [Samples.chunk(0..<3)]), from: 0)
      guard case .deliver = topic.next(for: &position) else {
        Issue.record("nothing was delivered")
        continue
      }
      #expect(topic.next(for: &position) == next)
    }
  }

  @Test("who waits for a read that failed is woken by the next look")
  func lookAfterFailure() {
    var topic = topic(outputTokens: 3)
    for fail in [{ $0.didFailToReplay() }, { $0.didFailToRead() }] as [(inout WatchTopic) -> Void] {
      let version = topic.version
      fail(&topic)
      #expect(topic.version == version)
      topic.didLook(Samples.job(outputTokens: 3).progress)
      #expect(topic.version != version)
    }
  }

  @Test("output that is counted and not there fails a watcher, once all there is was delivered")
  func lost() {
    var topic = WatchTopic()
    var position = WatchTopic.Position(index: 0)
    let page = OutputPage(
      job: Samples.job(.succeeded, outputTokens: 3), chunks: [Samples.chunk(0..<2)])
    #expect(topic.next(for: &position) == .read(from: 0))
    topic.didRead(page, from: 0)
    #expect(topic.next(for: &position) == .deliver([.tokens(Samples.chunk(0..<2))]))
    #expect(topic.next(for: &position) == .read(from: 2))
    topic.didRead(OutputPage(job: page.job, chunks: []), from: 2)
    #expect(topic.next(for: &position) == .fail)
    // Who asked from beyond all output misses nothing.
    var beyond = WatchTopic.Position(index: 3)
    #expect(topic.next(for: &beyond) == .deliver([.finished(page.job)]))
  }
}
