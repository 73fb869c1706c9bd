"""Speed, as ratios in one run: ours over what the machine and PostgreSQL could do at most."""
