"""Customer statements of SWIFT: MT940. `wire` reads a file, `adapter` answers the port."""
