"""OpenID Connect 1.0, as eSignet and others speak it: code flow with PKCE, private_key_jwt, signed and sealed userinfo.

Claims by OpenID Connect for Identity Assurance 1.0 where a trust framework is named.
"""
