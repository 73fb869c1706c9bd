"""Who may do what: staff, partners, roles, tokens, sessions, the one guard. It knows nothing of pensions."""
