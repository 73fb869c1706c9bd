"""Every call out is an exchange: recorded before it is made, resumed after a crash, never done twice."""
