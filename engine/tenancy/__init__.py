"""Tenants and their packs: load, check, version and explain them. Knows no rule kind, no country and no provider."""
