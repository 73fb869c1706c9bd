"""Registers of the state that tell of deaths, and of the class of a household."""
