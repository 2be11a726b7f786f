-- Why each output came to its end, where a job has several.
--
-- It changes the catalog only, and gives up soon where somebody reads the table in a transaction that
-- is still open; the migrator tries again.
SET LOCAL lock_timeout = '50ms';

-- Of the outputs after the first, whose reason is in finish_reason; NULL where there are none.
ALTER TABLE millrace.jobs ADD COLUMN alternative_finish_reasons text[];

-- No job that is stored has any, so that there is nothing to check.
ALTER TABLE millrace.jobs ADD CONSTRAINT jobs_alternatives_check CHECK
  (alternative_finish_reasons IS NULL OR (state = 'succeeded'
    AND cardinality(alternative_finish_reasons) <= 63
    AND alternative_finish_reasons <@ ARRAY['stop', 'stop_string', 'length'])) NOT VALID;

-- As before, with a new column at the end.
CREATE OR REPLACE VIEW millrace.job_report AS
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
    AS tokens_per_second,
  j.draft_rounds,
  j.accepted_by_position,
  j.accepted_tokens::float8 / nullif(j.drafted_tokens, 0) AS draft_acceptance,
  j.alternative_finish_reasons
FROM millrace.jobs AS j;
