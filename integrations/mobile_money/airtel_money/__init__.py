"""Airtel Money (Africa Open API): collections, disbursements, user enquiry, message signing.

`wire` translates, `signing` encrypts, `adapter` answers the ports, `simulator` is the other side. Airtel's documents
need a login; the facts are those of the Python packages `airtelmoney-py` 1.0.6 and `mtn-momo-client` 2.0.1. Whether
Airtel refuses a second collection of one id is not known, so none is ever sent; a disbursement's id it does refuse.
"""
