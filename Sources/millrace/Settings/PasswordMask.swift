import Foundation

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
  /// The last @ ends the password, also where one inside of it was not escaped. One that stands in a
  /// password among the parameters does not; but where there is no other, it may be either.
  private static func maskedURI(_ text: Substring) -> String {
    let end = passwordParameter(in: text) ?? text.endIndex
    let (head, tail) = (text[..<end], text[end...])
    let at = head.lastIndex(of: "@") ?? (tail.contains("@") ? head.endIndex : nil)
    guard let at, let colon = head[..<at].firstIndex(of: ":") else {
      return maskedParameters(head) + maskedParameters(tail)
    }
    return maskedParameters(head[..<colon]) + ":\(mask)" + maskedParameters(head[at...])
      + maskedParameters(tail)
  }

  /// Where the first parameter begins that is a password, at its separator.
  private static func passwordParameter(in text: Substring) -> Substring.Index? {
    text.indices.first { index in
      guard "?&".contains(text[index]) else { return false }
      let parameter = text[text.index(after: index)...]
      let keyword = parameter.prefix { !"=?&".contains($0) }
      guard keyword.endIndex < text.endIndex, text[keyword.endIndex] == "=" else { return false }
      return isPassword(Substring(keyword.removingPercentEncoding ?? String(keyword)))
    }
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
