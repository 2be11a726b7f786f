-- Chunks that are plain lists of token ids.
--
-- It changes the catalog only, and gives up soon where somebody reads the table, as the migration
-- before it. The two are apart, so that neither table stays locked while the other one is waited for.
SET LOCAL lock_timeout = '50ms';

-- Not checked for what is stored already: that would read the whole table.
ALTER TABLE millrace.output_chunks ADD CONSTRAINT output_chunks_plain_check CHECK
  (array_ndims(token_ids) = 1 AND array_position(token_ids, NULL) IS NULL) NOT VALID;
