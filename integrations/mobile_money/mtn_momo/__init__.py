"""MTN MoMo Open API: collections, disbursements, account holders, pre-approvals.

`wire` translates, `adapter` answers the ports, `simulator` is the other side. Sources: MTN's documentation snapshot of
2018 (github.com/sparkplug/mtn-momo-api-documentation), its published error tables, and the README of the Python
package `momo-openapi` 0.1.2 for the gateway that replaces it from 2026.
"""
