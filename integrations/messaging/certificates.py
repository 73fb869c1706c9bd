"""Which certificates of servers are good that are not spoken to by HTTP."""

import ssl


def trusting(ca_file: str) -> ssl.SSLContext:
    """Return a context that trusts the machine's authorities, or those of a PEM file alone.

    Raises:
        OSError: the file cannot be read or holds no certificate.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
