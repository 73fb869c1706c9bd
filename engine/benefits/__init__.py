"""Benefits: what the rules pay out."""
