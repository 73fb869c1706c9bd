"""E-mail: out by SMTP with STARTTLS, back as delivery status notifications.

`link` says what the adapter needs of a connection, `submission` is one, `wire` translates, `adapter` answers the port,
`simulator` is a mail server.
"""
