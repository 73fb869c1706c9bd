"""Makers of what tests need, through the services alone."""
