"""Fund managers, custodians and recordkeepers: prices in, orders out."""
