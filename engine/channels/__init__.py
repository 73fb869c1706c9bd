"""How people and machines reach us beyond the capabilities' own routes."""
