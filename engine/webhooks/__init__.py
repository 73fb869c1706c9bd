"""Webhooks: partners are told what became of what they sent and asked for, instead of polling."""
