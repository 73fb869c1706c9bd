"""Write the golden files anew: what the demo's three savers pay, and what the hand calculation makes of it."""

import csv
import subprocess
import sys
from pathlib import Path

from demo.plan import make_plan
from demo.proof import payments_of_savers
from demo.scenario import load_packs
from demo.year import published_prices

HERE = Path(__file__).resolve().parent
PACK = HERE.parent.parent / "tenants" / "in-nps-lite"


def main() -> None:
    """Write payments.csv, statements.txt and statements.json."""
    (pack,) = load_packs((PACK,))
    with (HERE / "payments.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            payments_of_savers(make_plan(pack, sorted(published_prices(pack))))
        )
    for name, arguments in (("statements.txt", []), ("statements.json", ["--json"])):
        made = subprocess.run(
            [sys.executable, "-I", str(HERE / "statement_by_hand.py"), *arguments], check=True, capture_output=True
        )
        (HERE / name).write_bytes(made.stdout)


if __name__ == "__main__":
    main()
