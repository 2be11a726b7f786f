-- Executors that can be told from later processes with the same number.
--
-- It changes the catalog only, but needs the table for a moment by itself: whoever has read it in a
-- transaction that is still open keeps it waiting, and it keeps all others waiting. So it gives up
-- very soon, and the migrator tries again.
SET LOCAL lock_timeout = '50ms';

-- When the process began, in the ticks of its machine's clock; NULL where that is not known.
ALTER TABLE millrace.executors ADD COLUMN process_start bigint;
