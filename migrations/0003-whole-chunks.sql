-- Chunks that are plain lists of token ids, and executors that can be told from later processes
-- with the same number.
--
-- Both statements change the catalog only. They need each table for a moment by themselves: whoever
-- has read it in a transaction that is still open keeps them waiting, and they keep all others
-- waiting. So they give up soon, and the migrator tries again.
SET LOCAL lock_timeout = '1s';

-- When the process began, in the ticks of its machine's clock; NULL where that is not known.
ALTER TABLE millrace.executors ADD COLUMN process_start bigint;

-- Not checked for what is stored already: that would read the whole table.
ALTER TABLE millrace.output_chunks ADD CONSTRAINT output_chunks_plain_check CHECK
  (array_ndims(token_ids) = 1 AND array_position(token_ids, NULL) IS NULL) NOT VALID;
