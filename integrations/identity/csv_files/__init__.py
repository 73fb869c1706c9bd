"""Questions to an agency that has no API, and its answers, as CSV files; a file drop carries them."""
