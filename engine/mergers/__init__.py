"""Mergers of schemes: one scheme hands its members, and all they hold, over to another, by sealed files and not by shared tables."""
