"""A bank: it takes payment files, answers them, books what is due, and writes a statement at the end of each day."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from types import MappingProxyType

from engine.kernel.amounts import Asset
from engine.kernel.files import NamedFile, Wrong
from engine.kernel.statements import Side, Statement, StatementKind, StatementLine
from integrations.banking.file_drops.sending import Sender
from integrations.banking.file_drops.simulator import DropSite
from integrations.banking.simulation.camt_writing import write_camt
from integrations.banking.simulation.payment_messages import (
    AskedFile,
    AskedPayment,
    Verdict,
    read_payments,
    write_report,
)
from integrations.banking.simulation.table_writing import (
    momo_rows,
    mpesa_rows,
    write_csv,
    write_generic_csv,
    write_mt940,
    write_workbook,
)

FORMATS: MappingProxyType[str, tuple[str, Callable[[Statement], bytes]]] = MappingProxyType(
    {
        "camt.053": ("xml", write_camt),
        "mt940": ("sta", write_mt940),
        "csv": ("csv", write_generic_csv),
        "mpesa": ("csv", lambda one: write_csv(mpesa_rows(one))),
        "mpesa-excel": ("xlsx", lambda one: write_workbook(mpesa_rows(one))),
        "mtn-momo": ("csv", lambda one: write_csv(momo_rows(one))),
    }
)
"""How the bank, or wallet operator, writes its statements: the ending of the file's name, and the writer."""


@dataclass
class SimulatedBank:
    """One account at a bank. `closed` are accounts that are closed, `unwilling` those whose holders gave no mandate."""

    site: DropSite
    account: str
    currency: Asset
    today: date
    form: str = "camt.053"
    balance: int = 0
    closed: set[str] = field(default_factory=set)
    unwilling: set[str] = field(default_factory=set)
    statements: list[Statement] = field(default_factory=list)
    refused_files: list[str] = field(default_factory=list)
    _lines: list[StatementLine] = field(default_factory=list)
    _due: list[tuple[AskedFile, AskedPayment]] = field(default_factory=list)
    _read: set[str] = field(default_factory=set)
    _message_refs: set[str] = field(default_factory=set)
    _bookings: int = 0
    _reports: int = 0

    def __post_init__(self) -> None:
        self.sender = Sender(self.site)
        self._opening = self.balance

    def credit(
        self, amount: int, *, end_to_end_id: str = "", text: str = "", payer: str = "", account: str = ""
    ) -> str:
        """Book money that came in, in smallest units; return the bank's id of the booking."""
        return self._book(amount, Side.CREDIT, end_to_end_id, text, payer, account)

    def debit(self, amount: int, *, end_to_end_id: str = "", text: str = "", payee: str = "") -> str:
        """Book money that was paid out otherwise than by a file; return the bank's id of the booking."""
        return self._book(amount, Side.DEBIT, end_to_end_id, text, payee, "")

    def take_files(self) -> int:
        """Read every file of ours that is new and answer it; return how many there were."""
        files = [file for file in self.site.got("*.xml") if file.sha256 + file.name not in self._read]
        for file in files:
            self._read.add(file.sha256 + file.name)
            self._answer(file)
        return len(files)

    def end_day(self) -> Statement:
        """Book what is due today, write the day's statement, and go on to the next day."""
        self._settle()
        statement = Statement(
            kind=StatementKind.STATEMENT,
            account=self.account,
            currency=self.currency,
            lines=tuple(self._lines),
            opening=self._opening,
            closing=self.balance,
            opened_on=self.today,
            closed_on=self.today,
            reference=f"ST{self.today:%Y%m%d}",
            number=len(self.statements) + 1,
        )
        self.statements.append(statement)
        ending, write = FORMATS[self.form]
        wrong = write(_with_a_wrong_amount(statement)) if statement.lines else None
        self.sender.day_passes()
        if statement.lines or self.form in ("camt.053", "mt940"):
            self.sender.send(f"statement-{self.today:%Y%m%d}.{ending}", write(statement), wrong=wrong)
        self._lines, self._opening = [], self.balance
        self.today += timedelta(days=1)
        return statement

    def _book(self, amount: int, side: Side, end_to_end_id: str, text: str, party: str, account: str) -> str:
        self._bookings += 1
        bank_ref = f"BK{self._bookings:010}"
        line = StatementLine(
            row=0,
            side=side,
            amount=amount,
            booked_on=self.today,
            value_on=self.today,
            end_to_end_id=end_to_end_id,
            bank_ref=bank_ref,
            text=text,
            other_party=party,
            other_account=account,
        )
        self._lines.append(line)
        self.balance += line.movement
        return bank_ref

    def _answer(self, file: NamedFile) -> None:
        try:
            asked = read_payments(file.raw)
        except Wrong as wrong:
            self.refused_files.append(file.name)
            reason = wrong.detail if wrong.detail in ("AM10", "AM18") else "FF01"
            self._report("NOTPROVIDED", "pain.001.001.09", whole=Verdict("RJCT", reason))
            return
        if asked.message_ref in self._message_refs:
            self._report(asked.message_ref, asked.message, whole=Verdict("RJCT", "DUPL"))
            return
        self._message_refs.add(asked.message_ref)
        verdicts = self._decide(asked)
        taken = [one for one in asked.payments if verdicts[one.reference].status != "RJCT"]
        self._due += [(asked, one) for one in taken]
        if len(taken) == len(asked.payments):
            self._report(asked.message_ref, asked.message, whole=Verdict("ACCP"))
        else:
            whole = Verdict("PART") if taken else Verdict("RJCT", "NARR")
            self._report(asked.message_ref, asked.message, whole=whole, verdicts=verdicts)

    def _decide(self, asked: AskedFile) -> dict[str, Verdict]:
        left = self.balance - sum(one.amount for file, one in self._due if not file.is_collection)
        verdicts = {}
        for one in asked.payments:
            verdict = Verdict("ACCP")
            if asked.our_account != self.account:
                verdict = Verdict("RJCT", "AC02" if not asked.is_collection else "AC03")
            elif one.currency != self.currency:
                verdict = Verdict("RJCT", "AM03")
            elif one.account in self.closed:
                verdict = Verdict("RJCT", "AC04")
            elif asked.is_collection and one.account in self.unwilling:
                verdict = Verdict("RJCT", "MD01")
            elif not asked.is_collection and one.amount > left:
                verdict = Verdict("RJCT", "AM04")
            elif not asked.is_collection:
                left -= one.amount
            verdicts[one.reference] = verdict
        return verdicts

    def _report(
        self, message_ref: str, message: str, *, whole: Verdict, verdicts: dict[str, Verdict] | None = None
    ) -> None:
        self._reports += 1
        ref = f"RPT{self._reports:06}"
        raw = write_report(ref, self.today, message_ref=message_ref, message=message, whole=whole, verdicts=verdicts)
        self.sender.send(f"report-{self._reports:06}.xml", raw)

    def _settle(self) -> None:
        """Book every payment that is due, and say so to whoever asked for it."""
        due = [(file, one) for file, one in self._due if file.on <= self.today]
        self._due = [(file, one) for file, one in self._due if file.on > self.today]
        settled: dict[str, tuple[AskedFile, dict[str, Verdict]]] = {}
        for file, one in due:
            side = Side.CREDIT if file.is_collection else Side.DEBIT
            self._book(one.amount, side, one.reference, one.note, one.party, one.account)
            settled.setdefault(file.message_ref, (file, {}))[1][one.reference] = Verdict("ACSC")
        for file, verdicts in settled.values():
            self._report(file.message_ref, file.message, whole=Verdict("PART"), verdicts=verdicts)


def _with_a_wrong_amount(statement: Statement) -> Statement:
    """Return the statement with another amount in its first line; its balances follow from one another all the same."""
    first, *others = statement.lines
    wrong = replace(first, amount=first.amount + 1)
    assert statement.closing is not None
    return replace(statement, lines=(wrong, *others), closing=statement.closing + wrong.movement - first.movement)
