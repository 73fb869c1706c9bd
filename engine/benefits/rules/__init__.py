"""The law and the arithmetic of benefits. Pure: typed values in, exact figures out."""
