"""Direct debits: what members undertook to pay is collected from their banks, under mandates that they signed."""
