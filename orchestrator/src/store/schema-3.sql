-- How far what a machine's runtime wrote down was taken over, and the phase that was told last.
ALTER TABLE machine ADD COLUMN told_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE machine ADD COLUMN told_phase TEXT;
