"""Close of business: what a scheme's day ends with, in its order, and periods that stay closed."""
