package import Tensors

extension Scheduler {
  /// How much a step may hold.
  package struct Limits: Hashable {
    /// Tokens of a step; at least as many as there are sequences.
    package var tokens: Int
    /// Tokens of one sequence in a step.
    package var chunk: Int
    /// Drafted tokens of all sequences in a step.
    package var drafts: Int
    /// What a token sees of those before it, if not all: blocks of nothing else are given back.
    package var window: AttentionWindow?

    package init(tokens: Int, chunk: Int, drafts: Int = 0, window: AttentionWindow? = nil) {
      self.tokens = tokens
      self.chunk = chunk
      self.drafts = drafts
      self.window = window
    }
  }

  /// A sequence that comes to be scheduled.
  package struct Arrival: Hashable {
    /// The caller's name for it; no other one has it.
    package var sequence: UInt64
    /// The tokens that are known: the prompt, and output of an earlier time.
    package var tokens: [Int32]
    /// How many of them are the prompt.
    package var promptTokens: Int
    /// The most tokens that it can come to; their blocks fit into the pool.
    package var tokenLimit: Int
    /// Sequences of a higher one go first.
    package var priority: Int
    /// What texts must have in common to share blocks.
    package var salt: String?
    /// Whether all tokens are to be computed for it, also those that others have computed.
    package var computesAll: Bool

    package init(
      sequence: UInt64, tokens: [Int32], promptTokens: Int? = nil, tokenLimit: Int,
      priority: Int = 0, salt: String? = nil, computesAll: Bool = false
    ) {
      self.sequence = sequence
      self.tokens = tokens
      self.promptTokens = promptTokens ?? tokens.count
      self.tokenLimit = tokenLimit
      self.priority = priority
      self.salt = salt
      self.computesAll = computesAll
    }
  }

  /// A run of one sequence's tokens to compute.
  package struct Work: Hashable {
    /// The sequence.
    package var sequence: UInt64
    /// The position of the first token.
    package var start: Int
    /// How many tokens.
    package var count: Int
    /// Whether the last one is the last that is known, so that its logits give the next.
    package var isLast: Bool
    /// Whether the run is of tokens that were known when the sequence was admitted.
    package var isPrefill: Bool
    /// How many tokens behind the last known one may be drafted and computed with it: there are
    /// blocks for them.
    package var drafts: Int

    package init(
      sequence: UInt64, start: Int, count: Int, isLast: Bool, isPrefill: Bool, drafts: Int = 0
    ) {
      self.sequence = sequence
      self.start = start
      self.count = count
      self.isLast = isLast
      self.isPrefill = isPrefill
      self.drafts = drafts
    }
  }

  /// What was done so far, in numbers.
  package struct Statistics: Hashable {
    /// Admissions for which the prefix cache was asked.
    package var prefixLookups = 0
    /// Tokens whose keys and values were found and not computed.
    package var prefixHitTokens = 0
    /// Sequences that lost their blocks to others.
    package var preemptions = 0
  }

  /// A step in the making.
  struct Plan {
    /// Tokens that still fit into the step.
    var budget: Int
    /// Drafted tokens that still fit into the step.
    var draftBudget = 0
    /// Sequences that wait for one token and are not in the plan yet: each will need a token of the
    /// budget, and may need a block.
    var reserved = 0
    /// Tokens of the budget, and blocks, that drafts leave to prompts.
    var promptTokens = 0
    var promptBlocks = 0
    /// What is to be done.
    var works: [Work] = []
  }
}
