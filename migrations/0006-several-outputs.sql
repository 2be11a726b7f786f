-- Which of a job's outputs each token belongs to, where a job has several.
--
-- It changes the catalog only, and gives up soon where somebody reads the table in a transaction that
-- is still open; the migrator tries again. What a job has of its outputs is for the next migration, so
-- that neither table stays locked while the other one is waited for.
SET LOCAL lock_timeout = '50ms';

-- Counted from 0; NULL where all tokens are of output 0, as in nearly every chunk. A token's index
-- counts the tokens of all outputs of the job, in the order of their commit.
ALTER TABLE millrace.output_chunks ADD COLUMN outputs smallint[];

-- No chunk that is stored has any, so that there is nothing to check.
ALTER TABLE millrace.output_chunks ADD CONSTRAINT output_chunks_outputs_check CHECK
  (outputs IS NULL OR (array_ndims(outputs) = 1 AND cardinality(outputs) = cardinality(token_ids)
    AND array_position(outputs, NULL) IS NULL)) NOT VALID;

-- As before, with a new column at the end.
CREATE OR REPLACE VIEW millrace.tokens AS
SELECT
  c.job_id,
  c.first_index + t.position - 1                                 AS token_index,
  t.token_id,
  t.piece,
  t.logprob,
  c.claim_time + t.offset_us * interval '1 microsecond'          AS engine_time,
  c.write_time                                                   AS commit_time,
  c.executor_id,
  c.epoch,
  coalesce(t.output, 0)                                          AS output
FROM millrace.output_chunks AS c
CROSS JOIN LATERAL ROWS FROM (
  unnest(c.token_ids), unnest(c.pieces), unnest(c.offsets_us), unnest(c.logprobs),
  unnest(c.outputs)
) WITH ORDINALITY AS t (token_id, piece, offset_us, logprob, output, position);
