"""What the books say to people: a member's statement at any date. It derives everything and stores nothing."""
