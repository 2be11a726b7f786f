/// The key-value part of a GGUF file, in the order of the file.
///
/// The typed getters throw ``ModelFormatError`` naming the key, the type that was found and the
/// type that was expected. Integers are accepted from any integer type that fits, because writers
/// differ (`llama.context_length` occurs as uint32 and as uint64); nothing else is converted.
///
/// ```swift
/// let name = try file.metadata.string("general.name")
/// let layers = try file.metadata.uint32("llama.block_count")
/// let base = try file.metadata.optional("llama.rope.freq_base", as: Float.self) ?? 10_000
/// ```
public struct GGUFMetadata: Sendable, Equatable {
  /// The keys in the order of the file.
  public private(set) var keys: [String] = []
  /// The values by key.
  public private(set) var values: [String: GGUFValue] = [:]

  /// Metadata without any key.
  public init() {}

  /// Metadata with these keys, in this order; a later value replaces an earlier one of the same
  /// key.
  public init(_ pairs: KeyValuePairs<String, GGUFValue>) {
    for (key, value) in pairs { self[key] = value }
  }

  /// The number of keys.
  public var count: Int { keys.count }

  /// The raw value of a key; setting a new key appends it, setting nil removes it.
  public subscript(key: String) -> GGUFValue? {
    get { values[key] }
    set {
      if values[key] == nil, newValue != nil {
        keys.append(key)
      } else if newValue == nil {
        keys.removeAll { $0 == key }
      }
      values[key] = newValue
    }
  }

  /// The value of a key that must be there.
  ///
  /// Throws `missingKey`, or `wrongType` naming the key, the found and the expected type.
  public func value<Value: GGUFDecodable>(
    _ key: String, as type: Value.Type = Value.self
  ) throws(ModelFormatError) -> Value {
    guard let found = try optional(key, as: type) else {
      throw ModelFormatError(
        code: .missingKey,
        message:
          "The metadata has no key \(quoted(key)) (\(Value.ggufTypeName)); convert the model again "
          + "with a current converter.")
    }
    return found
  }

  /// The value of a key that may be absent.
  ///
  /// Throws `wrongType` naming the key, the found and the expected type.
  public func optional<Value: GGUFDecodable>(
    _ key: String, as type: Value.Type = Value.self
  ) throws(ModelFormatError) -> Value? {
    guard let raw = values[key] else { return nil }
    guard let value = Value(raw) else {
      throw ModelFormatError(
        code: .wrongType,
        message: "The metadata key \(quoted(key)) holds \(raw.typeName) where "
          + "\(Value.ggufTypeName) is needed; convert the model again with a current converter.")
    }
    return value
  }

  /// The string under a key; throws when it is absent or of another type.
  public func string(_ key: String) throws(ModelFormatError) -> String { try value(key) }
  /// The truth value under a key; throws when it is absent or of another type.
  public func bool(_ key: String) throws(ModelFormatError) -> Bool { try value(key) }
  /// The number under a key, from any integer type that fits; throws otherwise.
  public func uint32(_ key: String) throws(ModelFormatError) -> UInt32 { try value(key) }
  /// The number under a key, from any integer type that fits; throws otherwise.
  public func int(_ key: String) throws(ModelFormatError) -> Int { try value(key) }
  /// The number under a key, from float32 or float64; throws otherwise.
  public func float32(_ key: String) throws(ModelFormatError) -> Float { try value(key) }
  /// The strings under a key; throws when it is absent or of another type.
  public func strings(_ key: String) throws(ModelFormatError) -> [String] { try value(key) }
  /// The float32 numbers under a key; throws when it is absent or of another type.
  public func floats(_ key: String) throws(ModelFormatError) -> [Float] { try value(key) }
  /// The numbers under a key, from int32 or from uint32 that fit; throws otherwise.
  public func int32s(_ key: String) throws(ModelFormatError) -> [Int32] { try value(key) }
}
