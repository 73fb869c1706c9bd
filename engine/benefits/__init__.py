"""Benefits: what members are charged, covered for and paid, while they save, when they retire, and after."""
