import Foundation
import Inference
public import JobQueue
public import Logging
public import ServiceLifecycle
import Synchronization

/// Claims jobs, runs them through the engines, and commits their output.
///
///     claims ──▶ step loop (one thread): engines ──▶ active jobs
///       ▲                                                 │
///       └── room ── write-back: one transaction at a time ◀┘     heartbeats, all the while
///
/// `run` returns after a graceful shutdown: the step in progress ends, its tokens are committed,
/// and the jobs that are left are handed back to the queue with their output kept.
public final class Executor: Service {
  public let id: ExecutorID
  let store: any JobStore
  let models: [ServedModel]
  let configuration: ExecutorConfiguration
  let logger: Logger
  let active = Mutex(ActiveJobs())
  /// Rung when there may be something to claim.
  let claimBell = Bell()
  /// Rung when it may be time to renew the leases, or one may be lost.
  let leaseBell = Bell()
  /// Rung when there is something to commit.
  let writeBell = Bell()
  private let intent = Mutex(Intent())
  /// The engines, once they are there.
  let running = Mutex<StepLoop?>(nil)

  /// What claims and heartbeats are to do next.
  private struct Intent {
    /// Models for which the queue had nothing more when it was last asked.
    var idleModels: Set<String> = []
    /// Places that the next job of a model needs, where it was given back because it has several
    /// outputs and there were too few for it.
    var awaitedPlaces: [String: Int] = [:]
    /// A lease may be lost: ask at once.
    var isSuspicious = false
    var isRegistered = false
    var hasRegistered = false
    var isDraining = false
    var mayClaim = true
  }

  public init(
    id: ExecutorID = ExecutorID(), store: any JobStore, models: [ServedModel],
    configuration: ExecutorConfiguration = ExecutorConfiguration(), logger: Logger
  ) {
    self.id = id
    self.store = store
    self.models = models
    self.configuration = configuration
    self.logger = logger
  }

  /// The number of jobs held now.
  public var activeJobs: Int { active.withLock { $0.leases.count } }

  /// Whether the engines are there and the store knows the executor, or did once.
  public var isReady: Bool { intent.withLock { $0.hasRegistered } }

  /// Claims nothing more from now on, while the jobs that are held run on until the shutdown.
  public func stopClaiming() {
    intent.withLock { $0.mayClaim = false }
  }

  public func run() async throws {
    let loop = StepLoop(
      models: models, niceness: configuration.engineNiceness, isFull: { [self] in isFull }
    ) { [self] event in receive(event) }
    try loop.start()
    running.withLock { $0 = loop }
    await withGracefulShutdownHandler {
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.listen() }
        group.addTask { await self.tick() }
        async let heart: Void = self.keepLeases(loop)
        async let writer: Void = self.writeBack(loop)
        await self.claimJobs(loop)
        await loop.stop()
        self.writeBell.close()
        await writer
        await self.flush(loop)
        self.leaseBell.close()
        await heart
        group.cancelAll()
      }
    } onGracefulShutdown: {
      self.claimBell.close()
    }
    await handBack()
  }

  // MARK: From the engines' thread

  private func receive(_ event: StepLoop.Event) {
    var refused: [UInt64] = []
    active.withLock { active in
      switch event {
      case .stepped(let outputs, let time):
        for output in outputs where active.record(output, at: time) {
          refused.append(output.sequence)
        }
      case .refused(let sequence, let error):
        active.fail(sequence, JobFailure(error))
      case .failed(let sequences, let error):
        for sequence in sequences { active.fail(sequence, JobFailure(error)) }
      }
    }
    if !refused.isEmpty { running.withLock { $0 }?.remove(refused) }
    if case .stepped(let outputs, _) = event, outputs.contains(where: { $0.finish != nil }) {
      // Places have come free.
      claimBell.ring()
    }
    writeBell.ring()
  }

  // MARK: Leases

  /// Registers, and renews the leases until the executor has nothing left to commit.
  ///
  /// Beside the claims, so that a slow claim cannot cost a lease. A heartbeat may therefore not
  /// name a job whose claim is being answered; it loses only leases that it named.
  private func keepLeases(_ loop: StepLoop) async {
    var nextHeartbeat = ContinuousClock.now
    while await leaseBell.wait(), !Task.isCancelled {
      do {
        let (isRegistered, isSuspicious) = intent.withLock { intent in
          defer { intent.isSuspicious = false }
          return (intent.isRegistered, intent.isSuspicious)
        }
        if !isRegistered {
          try await store.register(description, leaseDuration: configuration.leaseDuration)
          nextHeartbeat = .now + configuration.heartbeatInterval
          intent.withLock { ($0.isRegistered, $0.hasRegistered) = (true, true) }
          claimBell.ring()
          logger.info("Executor is ready", metadata: ["executor": "\(id)"])
        } else if isSuspicious || ContinuousClock.now >= nextHeartbeat {
          try await heartbeat(loop)
          nextHeartbeat = .now + configuration.heartbeatInterval
        }
      } catch {
        // The next tick tries again, a heartbeat at once: what was suspicious still is.
        intent.withLock { $0.isSuspicious = true }
        logger.warning("The leases cannot be renewed yet", metadata: ["error": "\(error)"])
      }
    }
  }

  private var description: ExecutorDescription {
    ExecutorDescription(
      id: id, host: ProcessInfo.processInfo.hostName,
      processID: ProcessInfo.processInfo.processIdentifier,
      processStart: LocalProcess.current?.start, models: models.map(\.name),
      slots: Int32(clamping: models.reduce(0) { $0 + $1.options.maxSequences }))
  }

  /// Renews the leases and drops the jobs that were lost.
  private func heartbeat(_ loop: StepLoop) async throws(JobStoreError) {
    let leases = active.withLock { $0.leases }
    let result = try await store.heartbeat(
      id, leases: leases, leaseDuration: configuration.leaseDuration)
    let lost = active.withLock { $0.lose(Set(leases).subtracting(result.held)) }
    if !lost.isEmpty {
      logger.info("Leases were lost", metadata: ["jobs": "\(lost.count)"])
      loop.remove(lost)
      claimBell.ring()
    }
    if !result.isRegistered {
      intent.withLock { $0.isRegistered = false }
      leaseBell.ring()
    }
    if result.isDraining { try await drain(loop) }
  }

  /// Stops claiming and hands all jobs back, but stays alive. Called again and again while the
  /// executor drains: a claim may have been on its way.
  private func drain(_ loop: StepLoop) async throws(JobStoreError) {
    let isFirst = intent.withLock { intent in
      defer { intent.isDraining = true }
      return !intent.isDraining
    }
    if isFirst { logger.notice("Draining: jobs go back to the queue with their tokens kept") }
    let leases = active.withLock { $0.leases }
    try await store.release(leases, executor: id)
    loop.remove(active.withLock { $0.lose(Set(leases)) })
  }

  // MARK: Claims

  /// Claims as long as there is room, whenever there may be something, until shutdown.
  private func claimJobs(_ loop: StepLoop) async {
    while await claimBell.wait(), !Task.isCancelled {
      guard intent.withLock({ $0.isRegistered && !$0.isDraining && $0.mayClaim }) else { continue }
      do {
        try await claim(loop)
      } catch {
        logger.warning("The queue cannot be reached; trying again", metadata: ["error": "\(error)"])
      }
    }
  }

  private func claim(_ loop: StepLoop) async throws(JobStoreError) {
    let (idle, awaited) = intent.withLock { ($0.idleModels, $0.awaitedPlaces) }
    let room = active.withLock { active in
      var room: [String: Int] = [:]
      for served in models where !idle.contains(served.name) {
        let free = served.options.maxSequences - active.occupied(served.name)
        if free >= awaited[served.name, default: 1] { room[served.name] = free }
      }
      return room
    }
    guard !room.isEmpty else { return }
    intent.withLock { $0.idleModels.formUnion(room.keys) }
    let claimed = try await store.claim(ClaimRequest(executor: id, room: room))
    let left = begin(claimed.jobs, room, loop, claimTime: .now - claimed.age)
    intent.withLock { intent in
      for model in room.keys { intent.awaitedPlaces[model] = left[model]?.places }
      intent.idleModels.subtract(claimed.modelsWithMore)
      intent.idleModels.subtract(left.keys)
    }
    let leases = left.values.flatMap(\.leases)
    if !leases.isEmpty { try await store.release(leases, executor: id) }
  }

  /// Begins claimed jobs in order, as far as there are places for all of their outputs; returns those
  /// that have to wait for that, by model, and how many places the first of them needs. None overtakes
  /// it.
  private func begin(
    _ jobs: [ClaimedJob], _ room: [String: Int], _ loop: StepLoop,
    claimTime: ContinuousClock.Instant
  ) -> [String: (places: Int, leases: [Lease])] {
    var free = room
    var left: [String: (places: Int, leases: [Lease])] = [:]
    for job in jobs {
      let model = job.job.spec.model
      let places = places(of: job.job.spec)
      if left[model] == nil, places <= free[model, default: 0] {
        free[model, default: 0] -= places
        begin(job, loop, claimTime: claimTime)
      } else {
        left[model, default: (places, [])].leases.append(job.lease)
      }
    }
    return left
  }

  /// The sequences that a job takes at a time of those that an engine may have. A search that takes
  /// more than there are is for the engine to refuse.
  private func places(of spec: GenerationSpec) -> Int {
    let most = models.first { $0.name == spec.model }?.options.maxSequences ?? 1
    return min(SamplingOptions(spec.sampling).places, most)
  }

  private func begin(
    _ claimed: ClaimedJob, _ loop: StepLoop, claimTime: ContinuousClock.Instant
  ) {
    let spec = claimed.job.spec
    guard let served = models.first(where: { $0.name == spec.model }) else { return }
    let fingerprint = served.model.fingerprint
    do throws(JobFailure) {
      if let earlier = claimed.job.modelFingerprint, earlier != fingerprint,
        !claimed.committedTokens.isEmpty
      {
        throw JobFailure(
          code: .modelChanged,
          message: "the model \(spec.model) was replaced by another file, or this program by one "
            + "that computes other bits, while the job was half done; submit the job again, or serve "
            + "the old file under that name with the old program")
      }
      guard let input = spec.prompt else { throw JobFailure.corrupt }
      let prompt = try served.model.tokens(of: input)
      let options = SamplingOptions(spec.sampling)
      let sequence = active.withLock {
        $0.begin(
          claimed, promptTokens: prompt.count, places: places(of: spec),
          samples: options.strategy == .sampling ? options.outputs : nil, fingerprint: fingerprint,
          claimTime: claimTime)
      }
      loop.add(
        GenerationRequest(
          sequence: sequence, promptTokens: prompt, resumedOutputs: claimed.tokensByOutput,
          options: options,
          speculation: Inference.Speculation(spec), priority: Int(spec.priority),
          cacheSalt: claimed.job.tenant),
        to: served.name)
    } catch {
      conclude(claimed, .failed(error), fingerprint: fingerprint)
    }
  }

  private func conclude(_ claimed: ClaimedJob, _ end: JobEnd, fingerprint: String) {
    active.withLock { $0.conclude(claimed, fingerprint: fingerprint, end: end, claimTime: .now) }
    writeBell.ring()
  }

  // MARK: Signals and time

  private func listen() async {
    for await signal in store.signals() {
      switch signal {
      case .ready, .interrupted:
        // What was given back for want of places rings this too, and waits on all the same.
        lookAgain()
      case .revoked(let job):
        guard active.withLock({ $0.holds(job) }) else { continue }
        intent.withLock { $0.isSuspicious = true }
        leaseBell.ring()
      case .progressed:
        break
      }
    }
  }

  private func tick() async {
    lookAgain()
    while (try? await Task.sleep(for: configuration.pollInterval)) != nil {
      // Something else may be first in the queue by now.
      intent.withLock { $0.awaitedPlaces = [:] }
      lookAgain()
    }
  }

  private func lookAgain() {
    intent.withLock { $0.idleModels = [] }
    claimBell.ring()
    leaseBell.ring()
  }

  /// Hands back what is left and leaves.
  private func handBack() async {
    let left = active.withLock { $0.leases.count }
    do {
      try await store.deregister(id)
      logger.info("Executor has left", metadata: ["jobs handed back": "\(left)"])
    } catch {
      logger.warning(
        "Jobs could not be handed back; they return to the queue when the lease runs out",
        metadata: ["jobs": "\(left)", "error": "\(error)"])
    }
  }
}
