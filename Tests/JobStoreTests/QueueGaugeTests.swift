import JobStorePostgres
import Testing

@Suite("The estimate of the queue's length")
struct QueueGaugeTests {
  private let start = ContinuousClock.now

  private func gauge(counted: Int, took: Duration = .zero) -> QueueGauge {
    var gauge = QueueGauge(limit: 100, interval: .seconds(1))
    let mayCount = gauge.beginCount(isUrgent: false, now: start)
    #expect(mayCount)
    gauge.endCount(counted, took: took, now: start)
    return gauge
  }

  @Test("counts once, then adds what was submitted")
  func estimate() {
    var gauge = gauge(counted: 90)
    var taken = [gauge.reserve(6), gauge.reserve(5), gauge.reserve(4), gauge.reserve(1)]
    #expect(taken == [true, false, true, false])
    gauge.settle(reserved: 6, stored: 2)  // the others were known already
    #expect(gauge.estimate == 96)
    taken = [gauge.reserve(4), gauge.reserve(1)]
    #expect(taken == [true, false])
  }

  @Test("counts again after a second, or after twenty times as long as the last count took")
  func intervals() {
    let cases: [(took: Duration, isUrgent: Bool, after: Duration)] = [
      (.zero, false, .seconds(1)), (.zero, true, .seconds(1)),
      (.milliseconds(200), false, .seconds(4)), (.milliseconds(200), true, .seconds(1)),
    ]
    for (took, isUrgent, after) in cases {
      var gauge = gauge(counted: 10, took: took)
      let stored = gauge.reserve(1)
      let early = gauge.beginCount(isUrgent: isUrgent, now: start + after - .milliseconds(1))
      let late = gauge.beginCount(isUrgent: isUrgent, now: start + after)
      let second = gauge.beginCount(isUrgent: isUrgent, now: start + after)
      #expect([stored, early, late, second] == [true, false, true, false])
    }
    // Nothing to find out where nothing was submitted.
    var idle = gauge(counted: 10)
    let mayCount = idle.beginCount(isUrgent: false, now: start + .seconds(9))
    #expect(!mayCount)
  }

  @Test("a count sees what was stored before it, and not what is under way")
  func underWay() {
    var gauge = gauge(counted: 0)
    var steps = [gauge.reserve(5), gauge.reserve(7)]
    gauge.settle(reserved: 5, stored: 5)
    steps.append(gauge.beginCount(isUrgent: true, now: start + .seconds(1)))
    steps.append(gauge.reserve(3))
    gauge.endCount(5, took: .zero, now: start + .seconds(1))
    #expect(steps == [true, true, true, true])
    #expect(gauge.estimate == 15)
    gauge.settle(reserved: 7, stored: 0)
    gauge.settle(reserved: 3, stored: 3)
    #expect(gauge.estimate == 8)
    // One that fails leaves what is known.
    steps = [gauge.beginCount(isUrgent: true, now: start + .seconds(2))]
    gauge.endCount(nil, took: .zero, now: start + .seconds(2))
    #expect(steps == [true])
    #expect(gauge.estimate == 8)
  }
}
