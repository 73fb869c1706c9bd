"""How a process runs: its database, settings, secrets, logs and languages. No pension words."""
