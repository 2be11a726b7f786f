import JobQueue
import RPC

extension ServerContext {
  /// The tenant that the call speaks for: its `millrace-tenant` metadata, or `default`.
  func tenant() throws -> String {
    guard let tenant = requestMetadata["millrace-tenant"] else { return "default" }
    guard !tenant.isEmpty, tenant.utf8.count <= JobLimits.tenantBytes,
      tenant.utf8.allSatisfy({ 0x20...0x7e ~= $0 })
    else {
      throw ServiceError.invalid(
        "metadata.millrace-tenant",
        "must be 1 to \(JobLimits.tenantBytes) printable ASCII characters")
    }
    return tenant
  }
}
