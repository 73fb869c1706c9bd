"""Migrations: the single description of the tables."""
