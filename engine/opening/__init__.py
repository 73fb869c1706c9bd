"""Opening balances: members and holdings of a scheme that was kept elsewhere, taken over once, to the last unit."""
