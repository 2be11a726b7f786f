import Executors
import JobQueue
import Testing

@Suite("The models that are served")
struct ServedModelsTests {
  @Test(
    "know how many tokens a prompt becomes at least",
    arguments: [
      Prompt.text(""), .text("abc"), .text(String(repeating: "abc ", count: 2_000)),
      .text(String(repeating: "\u{1F600}", count: 3_000)),
      .text(String(repeating: " ", count: 3_000)), .tokens(Array(repeating: 5, count: 2_000)),
    ])
  func leastTokens(prompt: Prompt) throws {
    let models = ServedModels([try Scene().served])
    let least = models.leastPromptTokenCount(prompt, model: "tiny")
    let count = try models.promptTokenCount(prompt, model: "tiny")
    #expect(least <= count)
    // Good enough to be of use: no vocabulary's pieces are so long.
    #expect(least >= count / 100)
  }
}
