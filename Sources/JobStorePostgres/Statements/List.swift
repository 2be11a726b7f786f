import Foundation
package import JobQueue
package import Postgres

extension Statement {
  /// One page of jobs, newest first. The text holds only the conditions that are asked for, so
  /// that each combination gets a plan of its own.
  package static func list(_ filter: JobFilter, page: PageRequest) throws -> Statement {
    var conditions = ["true"]
    var parameters: [any PostgresEncodable] = []
    func add(_ value: any PostgresEncodable, _ condition: (String) -> String) {
      parameters.append(value)
      conditions.append(condition("$\(parameters.count)"))
    }
    if let tenant = filter.tenant { add(tenant) { "j.tenant = \($0)" } }
    if !filter.states.isEmpty {
      add(filter.states.map(\.rawValue).sorted()) { "j.state = ANY(\($0))" }
    }
    if let model = filter.model { add(model) { "j.model = \($0)" } }
    if !filter.labels.isEmpty {
      let labels = try JSONEncoder().encode(filter.labels)
      add(JSONText(String(decoding: labels, as: UTF8.self))) { "j.labels @> \($0)" }
    }
    if let time = filter.createdAfter { add(time) { "j.create_time > \($0)" } }
    if let time = filter.createdBefore { add(time) { "j.create_time < \($0)" } }
    if let cursor = page.after {
      add(cursor.createTime) { "j.create_time <= \($0)" }
      let time = "$\(parameters.count)"
      add(cursor.id.uuid) { "(j.create_time, j.id) < (\(time), \($0))" }
    }
    // One more than asked for tells whether there is a next page.
    parameters.append(Int64(page.size) + 1)
    return Statement(
      """
      SELECT \(JobColumns.summary) FROM millrace.jobs AS j
      WHERE \(conditions.joined(separator: " AND "))
      ORDER BY j.create_time DESC, j.id DESC LIMIT $\(parameters.count)
      """, parameters: parameters)
  }
}
