"""Which addresses of the internet protocol are the internet's, and which are this machine's or somebody's own."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine by its very spelling."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_address_open(address: str) -> bool:
    """Return whether an IP address is one of the internet's: not private, of a link, this machine's, or reserved.

    Addresses that carry an IPv4 address inside are judged by that one. Source: IANA special-purpose address registries,
    as the standard library knows them; RFC 6052 (NAT64) and RFC 3056 (6to4).
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inside = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inside is None and found in ipaddress.ip_network("64:ff9b::/96"):
            inside = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inside is not None:
            return is_address_open(str(inside))
        if found.is_site_local or found.scope_id is not None:
            return False
    return found.is_global and not found.is_multicast
