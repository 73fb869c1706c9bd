"""Dealing days, prices, orders and the allotment of units. It knows reconciled cash and published prices, not who sends them."""
