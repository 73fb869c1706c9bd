"""The menu on any telephone: sessions that are answered once, PINs, and the services behind the screens.

`service` answers one request of a gateway in one transaction, `acting` does what a session ends in, `pins` and `desk`
keep the PINs and what is left for people to do, `rules` is pure, `api` has the routes.
"""
