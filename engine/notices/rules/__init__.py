"""What fits into a short message or a screen, and what a menu shows next. Pure: no clock, no database."""
