import ArgumentParser
import Foundation
import Messages
import SwiftProtobuf

struct Models: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the models that a service serves.",
    discussion: "Example: millrace models --address 127.0.0.1:50051")

  @OptionGroup var connection: ClientFlags

  func run() async throws {
    try await connection.withClient { client in
      var request = Millrace_V1_ListModelsRequest()
      var models: [Millrace_V1_Model] = []
      repeat {
        let page: Millrace_V1_ListModelsResponse = try await client.call(
          "ModelService/ListModels", request)
        models += page.models
        request.pageToken = page.nextPageToken
      } while !request.pageToken.isEmpty
      if connection.json {
        for model in models { Output.line(try model.jsonLine()) }
        return
      }
      var table = Table(
        "NAME", "ARCHITECTURE", "PARAMETERS", "CONTEXT", "CHAT", "DRAFT", "FINGERPRINT")
      for model in models {
        table.add(
          model.name, model.architecture, "\(model.parameterCount)", "\(model.contextLength)",
          model.hasChatTemplate_p ? "yes" : "no", model.draftFingerprint.isEmpty ? "no" : "yes",
          "\(model.fingerprint.prefix(12))")
      }
      Output.line(table.text)
    }
  }
}

struct Stats: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show how many jobs wait, run, and ended in the last 24 hours.",
    discussion: "Example: millrace stats --json")

  @OptionGroup var connection: ClientFlags

  func run() async throws {
    try await connection.withClient { client in
      let stats: Millrace_V1_QueueStats = try await client.call(
        "AdminService/GetQueueStats", Millrace_V1_GetQueueStatsRequest())
      if connection.json {
        Output.line(try stats.jsonLine())
        return
      }
      var table = Table("WHAT", "COUNT")
      for (name, count) in [
        ("queued", stats.queued), ("running", stats.running), ("succeeded", stats.succeeded),
        ("failed", stats.failed), ("cancelled", stats.cancelled), ("expired", stats.expired),
        ("output tokens", stats.outputTokens),
      ] {
        table.add(name, "\(count)")
      }
      Output.line(table.text)
      if stats.hasOldestReadyTime {
        let seconds = max(0, Date().timeIntervalSince(stats.oldestReadyTime.date))
        Output.remark(
          "The job that is ready the longest waits since \(String(format: "%.1f", seconds)) s")
      }
    }
  }
}

struct ListExecutors: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "executors",
    abstract: "List the executors that run jobs.",
    discussion: "Example: millrace executors --json")

  @OptionGroup var connection: ClientFlags

  func run() async throws {
    try await connection.withClient { client in
      let answer: Millrace_V1_ListExecutorsResponse = try await client.call(
        "AdminService/ListExecutors", Millrace_V1_ListExecutorsRequest())
      if connection.json {
        for executor in answer.executors { Output.line(try executor.jsonLine()) }
        return
      }
      var table = Table("ID", "HOST", "PROCESS", "RUNNING", "STATE", "HEARTBEAT", "MODELS")
      for executor in answer.executors {
        table.add(
          executor.id, executor.host, "\(executor.processID)",
          "\(executor.runningJobs) of \(executor.slots)", executor.draining ? "draining" : "active",
          executor.heartbeatTime.date.ISO8601Format(), executor.models.joined(separator: ","))
      }
      Output.line(table.text)
    }
  }
}

struct Caches: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show how full the KV caches of a service are, and how much computing they spared.",
    discussion: "Example: millrace caches --json")

  @OptionGroup var connection: ClientFlags

  func run() async throws {
    try await connection.withClient { client in
      let answer: Millrace_V1_CacheStats = try await client.call(
        "AdminService/GetCacheStats", Millrace_V1_GetCacheStatsRequest())
      if connection.json {
        for model in answer.models { Output.line(try model.jsonLine()) }
        return
      }
      var table = Table(
        "MODEL", "STORAGE", "MEMORY MiB", "IN USE", "KEPT", "PROMPT TOKENS FOUND", "EVICTIONS",
        "PREEMPTIONS")
      for model in answer.models {
        let asked = model.prefixHitTokens + model.computedPromptTokens
        table.add(
          model.model, model.storage, "\((model.blocks * model.blockBytes) >> 20)",
          share(model.blocksInUse, of: model.blocks), share(model.blocksKept, of: model.blocks),
          "\(model.prefixHitTokens) (\(share(model.prefixHitTokens, of: asked)))",
          "\(model.evictions)", "\(model.preemptions)")
      }
      Output.line(table.text)
    }
  }

  private func share(_ part: Int64, of whole: Int64) -> String {
    whole == 0 ? "0%" : "\(part * 100 / whole)%"
  }
}

struct Drain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Let an executor take no more jobs and hand its own back to the queue.",
    discussion: "Example: millrace drain 0198c1d2-…")

  @OptionGroup var connection: ClientFlags

  @Argument(help: "The executor's id; see `millrace executors`.")
  var id: String

  func run() async throws {
    var request = Millrace_V1_DrainExecutorRequest()
    request.id = id
    try await connection.withClient { client in
      let answer: Millrace_V1_DrainExecutorResponse = try await client.call(
        "AdminService/DrainExecutor", request)
      Output.line(connection.json ? try answer.jsonLine() : "\(id) draining")
    }
  }
}
