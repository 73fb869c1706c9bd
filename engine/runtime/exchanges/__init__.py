"""Exchanges with the outside: recorded before they are made, resumed after a crash, never done twice.

`engine.Exchanges` opens and works them, `callbacks` takes what the outside sends, `rules` says what an answer changes,
`pacing` when and how often a counterparty is called, `recording` keeps every message, `transport` and `tokens` are what
adapters are given.
"""
