/// Where a model's weights are.
public enum WeightPlace: Sendable, Hashable {
  /// In the memory of the process, because no cache was asked for or the model is small.
  case memory
  /// In a file that was there already.
  case found(path: String)
  /// In a file that was made now.
  case made(path: String)
  /// In the memory of the process, because the cache did not work; with the reason and what follows.
  case fallback(problem: String)

  init(_ place: WeightCache.Place, kept problem: String?) {
    if let problem {
      self = .fallback(problem: problem)
    } else if let file = place.file {
      self = file.wasMade ? .made(path: file.path) : .found(path: file.path)
    } else {
      self = .memory
    }
  }
}
