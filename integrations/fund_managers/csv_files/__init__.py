"""Dealing in funds by the CSV files that small managers use.

A file has a header record, one record a fact, and a trailer with their count and a total. `layouts` are the terms such files
are described in, as data of a pack; `envelope` reads and writes header and trailer, `wire` the records, `adapter` answers the
port.
"""
