import CGRPC

/// A call of the core, with the conversions between its memory and Swift's.
struct NativeCall: Sendable {
  let handle: cgrpc_call

  /// Starts a batch whose tag retains the target. False when the core refuses it.
  func start(_ batch: cgrpc_batch, _ target: EventTarget, _ purpose: Purpose) -> Bool {
    let tag = Tag.retaining(target, purpose)
    if cgrpc_call_start(handle, batch.rawValue, tag) { return true }
    _ = Tag.take(tag)
    return false
  }

  func put(_ message: [UInt8]) {
    message.withUnsafeBufferPointer { bytes in
      cgrpc_message_put(handle, bytes.baseAddress, bytes.count)
    }
  }

  /// The message that the last receive brought, if any.
  func takeMessage() -> [UInt8]? {
    guard cgrpc_message_arrived(handle) else { return nil }
    let length = cgrpc_message_length(handle)
    return [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      count = cgrpc_message_take(handle, buffer.baseAddress, length)
    }
  }

  func setStatus(_ code: Int32, _ message: String) {
    var message = message
    message.withUTF8 { cgrpc_call_set_status(handle, code, $0.baseAddress, $0.count) }
  }

  func destroy() {
    cgrpc_call_destroy(handle)
  }
}

extension NativeCall {
  func receivedMetadata(_ list: cgrpc_received_list) -> Metadata {
    var metadata = Metadata()
    for index in 0..<cgrpc_metadata_count(handle, list) {
      let entry = cgrpc_metadata_at(handle, list, index)
      let key = text(entry.key, entry.key_length)
      if key.hasSuffix("-bin") {
        let bytes = UnsafeBufferPointer(start: entry.value, count: entry.value_length)
        metadata.append(key, binary: [UInt8](bytes))
      } else {
        metadata.append(key, text(entry.value, entry.value_length))
      }
    }
    return metadata
  }

  /// Copies what is to be sent into the call; throws at the first entry that the core would refuse.
  func add(_ metadata: Metadata, to list: cgrpc_sent_list) throws(RPCError) {
    for entry in metadata.entries {
      let value =
        switch entry.value {
        case .text(let text): Array(text.utf8)
        case .binary(let bytes): bytes
        }
      let key = Array(entry.key.utf8)
      var accepted = entry.key.hasSuffix("-bin") == entry.value.isBinary
      if accepted {
        accepted = cgrpc_metadata_add(handle, list, key, key.count, value, value.count)
      }
      if !accepted {
        throw RPCError(
          .invalidArgument,
          "metadata key \(entry.key) or its value has characters that gRPC does not carry; "
            + "use printable ASCII, or a key that ends in -bin for bytes")
      }
    }
  }

  /// The status that a client received; nil when it is OK.
  func receivedStatus() -> RPCError? {
    let number = cgrpc_call_status_code(handle)
    if number == 0 { return nil }
    var length = 0
    let bytes = cgrpc_call_status_message(handle, &length)
    var trailing = receivedMetadata(CGRPC_RECEIVED_TRAILING)
    let details = trailing.removeBinary(RPCError.detailsKey)
    return RPCError(
      StatusCode(rawValue: number) ?? .unknown, text(bytes, length), details: details,
      trailingMetadata: trailing)
  }

  func peer() -> String {
    copiedText { cgrpc_call_copy_peer(handle, $0, $1) }
  }

  func peerCertificateName() -> String? {
    let name = copiedText { cgrpc_call_copy_peer_certificate_name(handle, $0, $1) }
    return name.isEmpty ? nil : name
  }

  private func copiedText(_ copy: (UnsafeMutablePointer<CChar>?, Int) -> Int) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { buffer in
      _ = copy(buffer.baseAddress, buffer.count)
      return buffer.baseAddress.map { String(cString: $0) } ?? ""
    }
  }

  private func text(_ start: UnsafePointer<UInt8>?, _ length: Int) -> String {
    String(decoding: UnsafeBufferPointer(start: start, count: length), as: UTF8.self)
  }
}

extension Metadata.Content {
  fileprivate var isBinary: Bool {
    if case .binary = self { return true }
    return false
  }
}

extension cgrpc_batch {
  static func | (one: cgrpc_batch, other: cgrpc_batch) -> cgrpc_batch {
    cgrpc_batch(rawValue: one.rawValue | other.rawValue)
  }

  static func |= (one: inout cgrpc_batch, other: cgrpc_batch) {
    one = one | other
  }
}
