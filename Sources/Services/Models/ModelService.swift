public import JobQueue
public import Logging
import Messages
public import RPC

/// `millrace.v1.ModelService`: tells which models are served.
public struct ModelService: Sendable {
  let catalog: any ModelCatalog
  let logger: Logger

  public init(catalog: any ModelCatalog, logger: Logger) {
    self.catalog = catalog
    self.logger = logger
  }

  public var methods: [MethodHandler] {
    let methods = TypedMethods(service: "millrace.v1.ModelService", logger: logger)
    return [methods.unary("ListModels", list), methods.unary("GetModel", get)]
  }

  /// The page token is the last name of the page before.
  private func list(
    _ request: Millrace_V1_ListModelsRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_ListModelsResponse {
    guard request.pageSize >= 0 else {
      throw ServiceError.invalid("page_size", "must not be negative")
    }
    let size = request.pageSize == 0 ? JobLimits.defaultPageSize : Int(request.pageSize)
    let rest = catalog.models.filter { $0.name > request.pageToken }
    let page = rest.prefix(min(size, JobLimits.pageSize))
    var response = Millrace_V1_ListModelsResponse()
    response.models = page.map(\.message)
    if page.count < rest.count { response.nextPageToken = page.last?.name ?? "" }
    return response
  }

  private func get(
    _ request: Millrace_V1_GetModelRequest, _ context: ServerContext
  ) async throws -> Millrace_V1_Model {
    guard !request.name.isEmpty else { throw ServiceError.invalid("name", "is required") }
    guard let model = catalog.models.first(where: { $0.name == request.name }) else {
      throw ServiceError.modelNotFound(request.name)
    }
    return model.message
  }
}

extension ModelDescription {
  var message: Millrace_V1_Model {
    var message = Millrace_V1_Model()
    message.name = name
    message.fingerprint = fingerprint
    message.architecture = architecture
    message.parameterCount = parameterCount
    message.vocabularySize = vocabularySize
    message.contextLength = contextLength
    message.hasChatTemplate_p = hasChatTemplate
    message.draftFingerprint = draftFingerprint ?? ""
    message.slots = slots
    return message
  }
}
