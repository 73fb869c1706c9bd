"""The book of record: events, transfers, accounts, balances. It knows amounts and codes, not what they mean to a scheme."""
