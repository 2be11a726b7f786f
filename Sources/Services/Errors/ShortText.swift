extension String {
  /// The longest beginning that has at most so many bytes and cuts no character of Unicode in two.
  ///
  /// By bytes, since one character that a person sees may have any number of them.
  func cut(toBytes limit: Int) -> String {
    guard utf8.count > limit else { return self }
    var end = utf8.index(startIndex, offsetBy: limit)
    while end > startIndex, end.samePosition(in: unicodeScalars) == nil {
      end = utf8.index(before: end)
    }
    return String(self[..<end])
  }
}
