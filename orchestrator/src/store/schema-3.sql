-- How far what a machine's runtime wrote down was taken over, and the phase that was told last.
ALTER TABLE machine ADD COLUMN told_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE machine ADD COLUMN told_phase TEXT;
-- Who was at work on something is found without a look at everything else that was done.
CREATE INDEX op_address ON op (address);
