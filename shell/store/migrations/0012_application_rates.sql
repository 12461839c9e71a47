-- Bytes per second of all that an application has handed out credentials to; null: no bound.
ALTER TABLE applications ADD COLUMN bytes_per_second INTEGER;
