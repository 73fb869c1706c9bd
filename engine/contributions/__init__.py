"""Receiving contributions: matching to a member, splitting by the rules, suspense. It knows no channel's protocol."""
