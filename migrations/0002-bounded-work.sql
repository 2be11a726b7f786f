-- migrate: no transaction
--
-- Indexes that keep what is done often bounded: claims with very many tenants, the queue's numbers,
-- and the deletion of old jobs. They are built while the service runs. After an interruption those
-- that are finished stay in use, and one that was left half-built is dropped and built again.
--
-- No index here or elsewhere may hold a column that changes while a job runs (output_tokens and
-- the like), not even as an included one: every write of output would then touch all indexes.

-- The order of claiming: within a model by priority, then each tenant's jobs by age. A claim walks
-- from one (priority, tenant) to the next and stops when it has seen enough.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_queue_index ON millrace.jobs
  (model, priority DESC, tenant, create_time, id) WHERE state = 'queued' AND NOT is_scheduled;

-- Ready jobs by the time since which they could have run: the oldest, and how many there are.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_ready_index ON millrace.jobs
  (greatest(create_time, run_after)) WHERE state = 'queued' AND NOT is_scheduled;

-- Ended jobs by their end: what ended lately, and what has been kept for long enough.
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_finish_index ON millrace.jobs
  (finish_time) INCLUDE (state) WHERE finish_time IS NOT NULL;

-- Replaced by jobs_queue_index, and dropped last, when that is there. A process of an older version
-- finds its jobs without it, slower.
DROP INDEX CONCURRENTLY IF EXISTS millrace.jobs_claim_index;
