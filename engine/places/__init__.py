"""Where files change hands with counterparties: what left for them and what came from them, each once."""
