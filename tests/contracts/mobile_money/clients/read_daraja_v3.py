# mypy: ignore-errors
# ruff: noqa: T201
"""Read Daraja's callbacks of prompts as `daraja-v3` does."""

import json
import sys

from mpesa import MpesaClient

print(json.dumps({"read": [MpesaClient.parse_stk_callback(json.loads(body)) for body in sys.argv[1:]]}))
