import Foundation
import Inference
import Synchronization

/// The one thread that drives the engines, step by step, and one that passes on what comes of it.
///
/// The engines are used on the first thread only. It sleeps while there is nothing to do, applies what
/// was asked for between steps (so that a removal takes effect within one step), and never waits for
/// the database. It stands behind the machine's other threads, and so would any that it woke into
/// being: a pool that runs out of threads starts one from whoever gives it work, with the priority of
/// that one. So `deliver` is called on the second thread, which is an ordinary one.
final class StepLoop: Sendable {
  /// What the loop tells of.
  enum Event: Sendable {
    /// The output of one step of one model's engine, each of one output of a request.
    case stepped([SequenceOutput], at: ContinuousClock.Instant)
    /// The engine refused the sequence.
    case refused(sequence: UInt64, InferenceError)
    /// The engine failed as a whole and has dropped these sequences.
    case failed([UInt64], InferenceError)
  }

  private struct Inbox {
    var additions: [(model: String, request: GenerationRequest)] = []
    var removals: [UInt64] = []
    var isStopped = false
  }

  /// What came of steps, on its way from the one thread to the other.
  private struct Outbox {
    var events: [Event] = []
    var isClosed = false
  }

  /// The engines wait while this many events are on their way.
  private static let mostEvents = 256

  private let inbox = Mutex(Inbox())
  private let outbox = Mutex(Outbox())
  /// Signalled once for every change of the outbox.
  private let hasEvents = DispatchSemaphore(value: 0)
  private let published = Mutex<[String: EngineStatistics]>([:])
  /// Signalled once for every change of the inbox.
  private let wakeUp = DispatchSemaphore(value: 0)
  private let deliver: @Sendable (Event) -> Void
  private let isFull: @Sendable () -> Bool
  private let models: [ServedModel]
  private let niceness: Int
  private let ended: AsyncStream<Void>
  private let endedContinuation: AsyncStream<Void>.Continuation

  /// - Parameters:
  ///   - niceness: how far the thread, and those of the engines, stand behind the machine's others.
  ///   - isFull: whether too much output waits to be committed; asked before each step.
  ///   - deliver: called on a thread of its own, in the order of the steps; must not block.
  init(
    models: [ServedModel], niceness: Int, isFull: @escaping @Sendable () -> Bool,
    deliver: @escaping @Sendable (Event) -> Void
  ) {
    self.models = models
    self.niceness = niceness
    self.isFull = isFull
    self.deliver = deliver
    (ended, endedContinuation) = AsyncStream.makeStream()
  }

  /// Starts the thread, which makes the engines, and waits until they are made.
  func start() throws(InferenceError) {
    let failure = Mutex<InferenceError?>(nil)
    let made = DispatchSemaphore(value: 0)
    let thread = Thread { [self] in
      Engine.giveWay(niceness: niceness)
      do throws(InferenceError) {
        let engines = try makeEngines()
        publish(engines)
        made.signal()
        run(engines)
      } catch {
        failure.withLock { $0 = error }
        made.signal()
      }
      post { $0.isClosed = true }
    }
    thread.stackSize = 4 << 20
    Thread { [self] in passOn() }.start()
    thread.start()
    made.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }

  func add(_ request: GenerationRequest, to model: String) {
    change { $0.additions.append((model, request)) }
  }

  func remove(_ sequences: [UInt64]) {
    change { $0.removals += sequences }
  }

  /// Goes on after output was committed, if it stopped because too much was waiting.
  func resume() {
    wakeUp.signal()
  }

  /// What each model's engine has done, as of its latest step; empty before the start.
  var statistics: [String: EngineStatistics] { published.withLock { $0 } }

  /// Ends the thread after the current step and waits for it.
  func stop() async {
    change { $0.isStopped = true }
    for await _ in ended {}
  }

  private func change(_ body: (inout Inbox) -> Void) {
    inbox.withLock { body(&$0) }
    wakeUp.signal()
  }

  // MARK: On the second thread

  private func passOn() {
    while true {
      hasEvents.wait()
      let news = outbox.withLock { outbox in
        defer { outbox.events = [] }
        return outbox
      }
      for event in news.events { deliver(event) }
      if news.events.count >= Self.mostEvents { wakeUp.signal() }
      if news.isClosed { break }
    }
    endedContinuation.finish()
  }

  // MARK: On the engines' thread

  private func post(_ change: (inout Outbox) -> Void) {
    outbox.withLock { change(&$0) }
    hasEvents.signal()
  }

  private var isBehind: Bool { outbox.withLock { $0.events.count >= Self.mostEvents } }

  private func makeEngines() throws(InferenceError) -> [EngineSlot] {
    var engines: [EngineSlot] = []
    for served in models {
      let engine = try Engine(
        model: served.model, draft: served.draft, options: served.options)
      engines.append(EngineSlot(name: served.name, engine: engine))
    }
    return engines
  }

  private func publish(_ slots: [EngineSlot]) {
    published.withLock { published in
      for slot in slots { published[slot.name] = slot.statistics }
    }
  }

  private func run(_ slots: [EngineSlot]) {
    var waits = false
    while true {
      if waits { wakeUp.wait() }
      let news = inbox.withLock { inbox in
        defer { (inbox.additions, inbox.removals) = ([], []) }
        return inbox
      }
      if news.isStopped { return }
      for slot in slots { slot.apply(news.additions, news.removals) }
      guard !isFull(), !isBehind else {
        waits = true
        continue
      }
      var hasWork = false
      let decoding = slots.count(where: \.isDecoding)
      for slot in slots {
        slot.step(besideOthers: decoding > (slot.isDecoding ? 1 : 0)) { event in
          post { $0.events.append(event) }
        }
        hasWork = hasWork || slot.hasWork
      }
      publish(slots)
      waits = !hasWork
    }
  }
}

/// One model's engine, and the sequences that wait for a place in it.
private final class EngineSlot {
  let name: String
  private let engine: Engine
  private var waiting: [GenerationRequest] = []
  private var running: Set<UInt64> = []

  init(name: String, engine: Engine) {
    self.name = name
    self.engine = engine
  }

  var hasWork: Bool { engine.hasWork || !waiting.isEmpty }

  var statistics: EngineStatistics { engine.statistics }

  func apply(_ additions: [(model: String, request: GenerationRequest)], _ removals: [UInt64]) {
    for (model, request) in additions where model == name { waiting.append(request) }
    for sequence in removals {
      waiting.removeAll { $0.sequence == sequence }
      if running.remove(sequence) != nil { engine.remove(sequence) }
    }
  }

  /// Whether a sequence waits for its next token.
  var isDecoding: Bool { engine.isDecoding }

  /// - Parameter besideOthers: whether sequences of other engines wait for their next tokens.
  func step(besideOthers: Bool, _ deliver: (StepLoop.Event) -> Void) {
    admit(deliver)
    guard engine.hasWork else { return }
    do {
      let outputs = try engine.step(besideOthers: besideOthers)
      guard !outputs.isEmpty else { return }
      for output in outputs where output.isLast || output.failure != nil {
        running.remove(output.sequence)
      }
      deliver(.stepped(outputs, at: .now))
    } catch {
      let lost = Array(running)
      for sequence in lost { engine.remove(sequence) }
      running = []
      deliver(.failed(lost, error))
    }
  }

  /// Passes waiting sequences on in order, as long as there are places. The engine decides when each
  /// has its turn, and refuses those that it can never run with the reason.
  private func admit(_ deliver: (StepLoop.Event) -> Void) {
    while let next = waiting.first, engine.canAdmit(next) || running.isEmpty {
      waiting.removeFirst()
      do {
        try engine.add(next)
        running.insert(next.sequence)
      } catch {
        deliver(.refused(sequence: next.sequence, error))
      }
    }
  }
}
