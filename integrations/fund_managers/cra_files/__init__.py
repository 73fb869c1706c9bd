"""The daily price files of the central recordkeeper of India's National Pension System (NPS).

`wire` reads and writes a file, `rows` recognises one row, `dates` reads its dates, `adapter` answers the
port.
"""
