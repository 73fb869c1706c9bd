"""The log's law: hashes, tiles, notes, entries, and the shape of an export. No clock, no database, no files."""
