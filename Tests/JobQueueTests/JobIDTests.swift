import JobQueue
import Testing

@Suite("Job ids")
struct JobIDTests {
  @Test("ids are version 7 UUIDs that sort by their time")
  func order() throws {
    var generator = SystemRandomNumberGenerator()
    let ids = stride(from: Int64(1_700_000_000_000_000), to: 1_700_000_001_000_000, by: 10_000).map
    {
      JobID.make(at: Timestamp(microsecondsSinceEpoch: $0), using: &generator)
    }
    #expect(ids == ids.sorted())
    #expect(Set(ids).count == ids.count)
    for id in ids {
      let text = id.description
      #expect(Array(text)[14] == "7")
      #expect("89ab".contains(Array(text)[19]))
      #expect(text == text.lowercased())
      #expect(JobID(text) == id)
    }
  }

  @Test("other text is no id", arguments: ["", "1", "zzzzzzzz-0000-7000-8000-000000000000"])
  func malformed(_ text: String) {
    #expect(JobID(text) == nil)
  }
}
