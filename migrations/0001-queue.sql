-- The queue: jobs, their output, the executors that work on them, and two views for reports.
--
-- Every transition of a job is one statement of the service with the expected state and epoch in
-- its WHERE clause; there are no triggers, and nothing here moves by itself.
--
--     queued --claim--> running --finish--> succeeded, failed
--       ^                 | |
--       +-release, rescue-+ +--cancel-----> cancelled    (also from queued)
--                           +--deadline---> expired      (also from queued)

-- Executors. An executor's lease is here, on one row, and not on its jobs: a heartbeat updates one
-- row however many jobs run.
CREATE TABLE millrace.executors (
  id             uuid        PRIMARY KEY,
  host           text        NOT NULL,
  process_id     integer     NOT NULL,
  models         text[]      NOT NULL,
  slots          integer     NOT NULL CHECK (slots >= 0),
  start_time     timestamptz NOT NULL,
  heartbeat_time timestamptz NOT NULL,
  -- When its jobs may be given to others, unless it renews its lease before.
  expire_time    timestamptz NOT NULL,
  is_draining    boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50);  -- heartbeats rewrite the row in place

COMMENT ON TABLE millrace.executors IS
  'Processes that generate. One row each while they live; expire_time is their lease on all of their jobs.';

CREATE TABLE millrace.jobs (
  id                   uuid        PRIMARY KEY,
  tenant               text        NOT NULL CHECK (octet_length(tenant) <= 128),
  -- The client's own name for the submission, for retries.
  request_id           text        CHECK (octet_length(request_id) <= 128),

  -- What was asked for: the whole specification, and what the queue needs of it in columns.
  spec                 jsonb       NOT NULL,
  model                text        NOT NULL CHECK (octet_length(model) <= 255),
  priority             integer     NOT NULL,
  run_after            timestamptz,
  deadline             timestamptz,
  max_attempts         integer     NOT NULL CHECK (max_attempts BETWEEN 1 AND 100),
  labels               jsonb       NOT NULL,

  -- Where it is.
  state                text        NOT NULL CHECK
    (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired')),
  -- Queued, but not to be claimed before run_after. Claims turn it off when the time has come.
  is_scheduled         boolean     NOT NULL,
  attempt              integer     NOT NULL DEFAULT 0 CHECK (attempt >= 0),
  -- Fences executors: a write counts only under the epoch of the claim it belongs to.
  epoch                bigint      NOT NULL DEFAULT 0 CHECK (epoch >= 0),
  executor_id          uuid,

  -- What came of it.
  model_fingerprint    text,
  prompt_tokens        bigint      NOT NULL DEFAULT 0,
  cached_prompt_tokens bigint      NOT NULL DEFAULT 0,
  output_tokens        bigint      NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
  drafted_tokens       bigint      NOT NULL DEFAULT 0,
  accepted_tokens      bigint      NOT NULL DEFAULT 0,
  finish_reason        text        CHECK (finish_reason IN ('stop', 'stop_string', 'length')),
  failure_code         text,
  failure_message      text,

  create_time          timestamptz NOT NULL,
  -- Of the first claim, and of the claim in force.
  start_time           timestamptz,
  claim_time           timestamptz,
  first_token_time     timestamptz,
  finish_time          timestamptz,

  CONSTRAINT jobs_request_key UNIQUE (tenant, request_id),
  CONSTRAINT jobs_running_check CHECK
    (state <> 'running' OR (executor_id IS NOT NULL AND claim_time IS NOT NULL)),
  CONSTRAINT jobs_finished_check CHECK
    ((state IN ('queued', 'running')) = (finish_time IS NULL)),
  CONSTRAINT jobs_succeeded_check CHECK ((state = 'succeeded') = (finish_reason IS NOT NULL)),
  CONSTRAINT jobs_failed_check CHECK
    ((state = 'failed') = (failure_code IS NOT NULL)
      AND (failure_code IS NULL) = (failure_message IS NULL))
) WITH (
  -- Room in each page for the updates of running jobs, which touch no indexed column.
  fillfactor = 70,
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.02
);

COMMENT ON TABLE millrace.jobs IS
  'One row per generation. For reports, see the view millrace.job_report.';

-- The order of claiming: within a model, each tenant's jobs by priority, then age.
CREATE INDEX jobs_claim_index ON millrace.jobs
  (model, tenant, priority DESC, create_time, id) WHERE state = 'queued' AND NOT is_scheduled;
-- Scheduled jobs by the time at which they become ready.
CREATE INDEX jobs_scheduled_index ON millrace.jobs
  (run_after) WHERE state = 'queued' AND is_scheduled;
-- Running jobs: those of an executor, and how many each tenant has.
CREATE INDEX jobs_running_index ON millrace.jobs
  (executor_id) INCLUDE (tenant) WHERE state = 'running';
-- Jobs that may expire.
CREATE INDEX jobs_deadline_index ON millrace.jobs
  (deadline) WHERE state IN ('queued', 'running') AND deadline IS NOT NULL;
-- Listings, newest first.
CREATE INDEX jobs_list_index ON millrace.jobs (create_time DESC, id DESC);
CREATE INDEX jobs_tenant_list_index ON millrace.jobs (tenant, create_time DESC, id DESC);

-- The output: one row per job and flush, all arrays with one element per token. Rows are written
-- once and never changed.
CREATE TABLE millrace.output_chunks (
  job_id        uuid        NOT NULL REFERENCES millrace.jobs (id) ON DELETE CASCADE,
  -- The output index of the first token. A chunk begins where the one before it ends.
  first_index   bigint      NOT NULL CHECK (first_index >= 0),
  token_ids     integer[]   NOT NULL CHECK (cardinality(token_ids) > 0),
  -- The text that became final with each token.
  pieces        text[]      NOT NULL,
  -- When each token left the engine, in microseconds after claim_time.
  offsets_us    bigint[]    NOT NULL,
  -- Natural-log probabilities of the tokens, where the job asks for them; then also the likeliest
  -- tokens beside each, top_counts[i] of them for token i, one after another.
  logprobs      real[],
  top_counts    integer[],
  top_token_ids integer[],
  top_logprobs  real[],
  -- Which lease wrote it, and when.
  epoch         bigint      NOT NULL,
  executor_id   uuid        NOT NULL,
  claim_time    timestamptz NOT NULL,
  write_time    timestamptz NOT NULL,

  PRIMARY KEY (job_id, first_index),
  CONSTRAINT output_chunks_length_check CHECK (
    cardinality(pieces) = cardinality(token_ids)
    AND cardinality(offsets_us) = cardinality(token_ids)
    AND (logprobs IS NULL OR cardinality(logprobs) = cardinality(token_ids))
    AND (top_counts IS NULL OR cardinality(top_counts) = cardinality(token_ids))
    AND (top_token_ids IS NULL) = (top_counts IS NULL)
    AND (top_logprobs IS NULL) = (top_counts IS NULL))
);

COMMENT ON TABLE millrace.output_chunks IS
  'Committed output, one row per job and flush. For one row per token, see the view millrace.tokens.';

-- One row per output token.
CREATE VIEW millrace.tokens AS
SELECT
  c.job_id,
  c.first_index + t.position - 1                                 AS token_index,
  t.token_id,
  t.piece,
  t.logprob,
  c.claim_time + t.offset_us * interval '1 microsecond'          AS engine_time,
  c.write_time                                                   AS commit_time,
  c.executor_id,
  c.epoch
FROM millrace.output_chunks AS c
CROSS JOIN LATERAL ROWS FROM (
  unnest(c.token_ids), unnest(c.pieces), unnest(c.offsets_us), unnest(c.logprobs)
) WITH ORDINALITY AS t (token_id, piece, offset_us, logprob, position);

COMMENT ON VIEW millrace.tokens IS
  'One row per output token: index, text, log-probability, when it left the engine and when it was committed.';

-- One row per job, with its durations in seconds.
CREATE VIEW millrace.job_report AS
SELECT
  j.id,
  j.tenant,
  j.request_id,
  j.model,
  j.model_fingerprint,
  j.priority,
  j.labels,
  j.state,
  j.attempt,
  j.finish_reason,
  j.failure_code,
  j.failure_message,
  j.prompt_tokens,
  j.cached_prompt_tokens,
  j.output_tokens,
  j.drafted_tokens,
  j.accepted_tokens,
  j.create_time,
  j.start_time,
  j.first_token_time,
  j.finish_time,
  extract(epoch FROM j.start_time - greatest(j.create_time, j.run_after))::float8
    AS queue_seconds,
  extract(epoch FROM j.first_token_time - j.create_time)::float8
    AS time_to_first_token_seconds,
  extract(epoch FROM j.finish_time - j.create_time)::float8
    AS total_seconds,
  -- From the first token to the end: what a reader sees.
  (j.output_tokens - 1)
    / nullif(extract(epoch FROM j.finish_time - j.first_token_time)::float8, 0)
    AS tokens_per_second
FROM millrace.jobs AS j;

COMMENT ON VIEW millrace.job_report IS
  'One row per job with waiting time, time to first token and rate, ready for reports.';
