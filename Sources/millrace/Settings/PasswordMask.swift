/// Hides the passwords in a connection string of PostgreSQL.
///
/// It reads both forms as libpq does (URI and `keyword = value`), and where a text is neither, hides
/// too much rather than too little: passwords hold any character, and people forget to escape them.
enum PasswordMask {
  private static let mask = "*****"

  /// The text without its passwords.
  static func masked(_ text: String) -> String {
    if let scheme = text.firstRange(of: "://"), !text[..<scheme.lowerBound].contains("=") {
      return String(text[..<scheme.upperBound]) + maskedURI(text[scheme.upperBound...])
    }
    return maskedWords(text)
  }

  // MARK: URIs

  /// What follows the scheme: `USER:PASSWORD@HOST/DATABASE?KEYWORD=VALUE&…`.
  ///
  /// The last @ ends the password, also where one inside of it was not escaped.
  private static func maskedURI(_ text: Substring) -> String {
    guard let at = text.lastIndex(of: "@"), let colon = text[..<at].firstIndex(of: ":") else {
      return maskedParameters(text)
    }
    return "\(maskedParameters(text[..<colon])):\(mask)\(maskedParameters(text[at...]))"
  }

  private static func maskedParameters(_ text: Substring) -> String {
    var result = ""
    var rest = text
    while !rest.isEmpty {
      let parameter = rest.prefix { !"?&".contains($0) }
      let keyword = parameter.prefix { $0 != "=" }
      // A keyword may be spelled with escapes: what cannot be read is hidden.
      let isPlain = keyword.allSatisfy { $0.isASCII && ($0.isLetter || "_-".contains($0)) }
      let hides = keyword.endIndex < parameter.endIndex && (!isPlain || isPassword(keyword))
      result += hides ? "\(keyword)=\(mask)" : String(parameter)
      rest = rest[parameter.endIndex...]
      if let separator = rest.popFirst() { result.append(separator) }
    }
    return result
  }

  // MARK: Words

  /// `KEYWORD = VALUE …`; a value may be in quotes, and a backslash takes the next character as it is.
  private static func maskedWords(_ text: String) -> String {
    var result = ""
    var rest = text[...]
    while let equals = rest.firstIndex(of: "=") {
      let words = rest[..<equals]
      rest = rest[equals...].dropFirst()
      let blank = rest.prefix(while: \.isWhitespace)
      rest = rest[blank.endIndex...]
      let value = Self.value(at: rest)
      rest = rest[value.endIndex...]
      result += "\(keyword(words))=\(blank)\(isPassword(words) ? mask : String(value))"
    }
    return result + keyword(rest)
  }

  /// What stands where a keyword belongs; hidden where it is more than one word, or none at all.
  private static func keyword(_ text: Substring) -> String {
    let words = text.split(whereSeparator: \.isWhitespace)
    let isLast = text.endIndex == text.base.endIndex
    guard let last = words.last, isLast || words.count > 1 else { return String(text) }
    return isLast ? " \(mask)" : " \(mask) \(last)"
  }

  private static func value(at text: Substring) -> Substring {
    let isQuoted = text.first == "'"
    var index = isQuoted ? text.index(after: text.startIndex) : text.startIndex
    while index < text.endIndex {
      let character = text[index]
      if !isQuoted, character.isWhitespace { break }
      index = text.index(after: index)
      if isQuoted, character == "'" { break }
      if character == "\\", index < text.endIndex { index = text.index(after: index) }
    }
    return text[..<index]
  }

  /// `password`, `sslpassword` and the like, alone or after other words.
  private static func isPassword(_ keyword: Substring) -> Bool {
    let words = keyword.split(whereSeparator: \.isWhitespace)
    return words.last?.lowercased().hasSuffix("password") ?? false
  }
}
