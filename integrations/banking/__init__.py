"""Banks and wallet operators' accounts: statements in, payments and collections out, files there and back."""
