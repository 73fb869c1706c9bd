"""The registry interfaces of the Digital Convergence Initiative (CRVS 1.0.0, social 1.0.0): synchronous search, and notify.

Signed as OpenCRVS signs: the field `signature` is a compact JWS by RS256 over header and message.
"""
