"""Deaths of members, the claims after them, and what heirs are paid."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from engine.app import LAWS
from engine.benefits import service
from engine.benefits.queries import estates as queries
from engine.benefits.queries.claiming import ClaimRow
from engine.benefits.queries.estates import Inheritance
from engine.benefits.rules.paying import AccountGiven, Payee, Payout
from engine.benefits.service import BankRail, HeirNamed, HeirPerson, KnownHeir, Payers
from engine.enrolment import service as enrolment
from engine.identity.rules import MemberRef, NomineePerson
from engine.ledger import service as ledger
from engine.ledger.rules import Offence
from engine.runtime.database import Database
from engine.runtime.exchanges.engine import Exchanges
from tests.factories.claims import CHECKER, MAKER, Claims, open_scheme
from tests.factories.payouts import approve

SEEN = "5" * 64
"""The SHA-256 of some document."""

UNKEPT = frozenset({"members-were-enrolled", "memberships-are-whole", "members-can-be-known"})
"""The laws that members who were written without an enrolment break."""


def nominee(name: str, share_bp: int, *, born_on: date | None = None, relationship: str = "child") -> NomineePerson:
    return NomineePerson(full_name=name, relationship=relationship, share_bp=share_bp, born_on=born_on)


def heir(name: str, share_bp: int, *, is_spouse: bool = False, born_on: date | None = None) -> HeirNamed:
    person = HeirPerson(full_name=name, relationship="kin", born_on=born_on)
    return HeirNamed(person=person, share_bp=share_bp, is_spouse=is_spouse)


@dataclass
class Estates:
    """A scheme on a real pack whose members die."""

    scheme: Claims
    payers: Payers

    async def dies(self, member: MemberRef, *, on: date) -> int:
        """Let a register's death be told of and confirmed; return the notice."""
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await enrolment.report_death(
                session, scheme.keys, scheme.tenant, member.member_id,
                died_on=on, record=secrets.token_hex(8), actor="staff:3", registry="crvs",
            )  # fmt: skip
        ((notice,),) = await scheme.rows(
            "select max(notice_id) from death_notices where member_id = :m", m=member.member_id
        )
        return int(notice)

    async def lives(self, notice: int) -> None:
        """Let two people take a death back."""
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await enrolment.propose_reversal(session, scheme.tenant, notice, reason="wrong", actor="staff:3")
            await enrolment.approve_reversal(session, scheme.tenant, notice, actor="staff:4")

    async def follow(self) -> int:
        return await service.follow_deaths(self.scheme.db, self.scheme.keys, self.scheme.tenant)

    async def claims(self) -> list[ClaimRow]:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return [one for one in await service.list_claims(session) if one.kind == "death"]

    async def open(
        self, member: MemberRef, *, died_on: date | None = None, key: str = "d", **documents: str
    ) -> ClaimRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.open_death_claim(
                session, scheme.keys, scheme.tenant, member, died_on=died_on,
                documents={name.replace("_", "-"): sha for name, sha in documents.items()}, key=key, actor=MAKER,
            )  # fmt: skip

    async def name(
        self,
        claim: ClaimRow,
        heirs: Sequence[HeirNamed] = (),
        *,
        known: Mapping[int, int] | None = None,
        documents: Sequence[str] = (),
        choice: str = "",
        actor: str = MAKER,
    ) -> ClaimRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.name_heirs(
                session, scheme.keys, scheme.tenant, claim.claim_id, heirs,
                known=known or {}, documents=dict.fromkeys(documents, SEEN), choice=choice, actor=actor,
            )  # fmt: skip

    async def exclude(self, claim: ClaimRow, heir_no: int, gone: str = "died-before") -> ClaimRow:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.exclude_heir(
                session, scheme.keys, scheme.tenant, claim.claim_id, heir_no,
                gone=gone, documents={"death-certificate-of-nominee": SEEN}, actor=MAKER,
            )  # fmt: skip

    async def document(self, claim: ClaimRow, heir_no: int, *kinds: str) -> None:
        scheme = self.scheme
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            await service.document_heir(
                session, scheme.tenant, claim.claim_id, heir_no, dict.fromkeys(kinds, SEEN), actor=MAKER
            )

    async def heirs(self, claim: ClaimRow) -> list[KnownHeir]:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            _, found = await service.list_heirs(session, self.scheme.keys, claim.claim_id, actor="staff:3")
            return found

    async def given(self, claim: ClaimRow) -> dict[int, Inheritance]:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await queries.inheritances_of(session, claim.member_id, claim.claim_id)

    async def pay(self, claim: ClaimRow, heir_no: int, holder: str, *, purpose: str = "", name: str = "") -> Payout:
        """Make a payout to an heir's account at a bank, of which a document is shown."""
        scheme = self.scheme
        account = AccountGiven(
            rail="bank", number=f"00{heir_no}", holder=holder, is_verified=True, documents=("proof-of-new-account",)
        )
        async with scheme.db.unit_of_work(scheme.tenant.tenant_id) as session:
            return await service.pay_heir(
                session, scheme.keys, scheme.tenant, claim.claim_id, heir_no,
                payee=Payee(accounts=(account,), name=name), purpose=purpose, actor=MAKER,
            )  # fmt: skip

    async def approve_payout(self, payout: Payout, *, name_seen: bool = False) -> Payout:
        scheme = self.scheme
        return await approve(scheme.db, scheme.keys, scheme.tenant, self.payers, payout, name_seen=name_seen)

    async def share_anew(self, claim: ClaimRow, digest: str, actor: str = CHECKER) -> ClaimRow:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return await service.share_anew(session, self.scheme.tenant, claim.claim_id, digest=digest, actor=actor)

    async def broken(self) -> list[Offence]:
        async with self.scheme.db.unit_of_work(self.scheme.tenant.tenant_id) as session:
            return [one for one in await ledger.check(session, LAWS) if one.law not in UNKEPT]


async def open_estates(
    db: Database, tenant_id: int, folder: Path, pack: str, instant: str, *, rules: str = ""
) -> Estates:
    """Return a scheme on a pack, its clock at an instant in UTC, with a bank that pays."""
    scheme = await open_scheme(db, tenant_id, folder, pack, instant, rules=rules)
    rail = BankRail(pays_from=scheme.channel, holder="A Scheme", number="0001", bank="X", sender="SCHEME")
    return Estates(scheme, Payers(Exchanges(db, scheme.keys, {}, lambda *_: ""), banks={"bank": rail}))
