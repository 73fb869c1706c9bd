"""The partners' way in for people: enrol one or many, see what joining needs, look a member up by number."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from msgspec import Meta, Struct

from engine.access.errors import SamePerson
from engine.access.rules import Caller
from engine.enrolment import errors, service
from engine.enrolment.rules import (
    Application,
    DeathState,
    check_open,
    monthly_ceiling,
    plain_words,
    terms_of,
    undertaking_terms_of,
)
from engine.enrolment.service import (
    LONGEST_KEY,
    Answer,
    Death,
    Doubt,
    Enrolled,
    Enrolment,
    StatusWord,
    Verification,
    Verifiers,
)
from engine.identity import errors as identity_errors
from engine.identity import service as identity
from engine.kernel.clock import business_date
from engine.kernel.errors import EngineError
from engine.kernel.permissions import Permission
from engine.kernel.tables import TableValueMissing
from engine.ledger import service as ledger
from engine.runtime.database import Database
from engine.runtime.http import Problem, problem_of, refuses
from engine.runtime.key_file import FileKeyStore
from engine.tenancy import service as tenancy
from engine.tenancy.errors import UnknownProduct
from engine.tenancy.service import Tenant

MOST_ITEMS = 1_000
CODE = r"^[a-z][a-z0-9-]{0,39}$"

Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        required=False,
        max_length=LONGEST_KEY + 2,
        description="Your own name for this enrolment: the same key and body are answered alike for ever.",
    ),
]


JOINING_REFUSALS: tuple[type[EngineError], ...] = (
    UnknownProduct,
    errors.NotOpen,
    errors.ClosedToJoining,
    errors.TooYoung,
    errors.TooOld,
    errors.BirthDateImplausible,
    errors.DocumentMissing,
    errors.DocumentNotAccepted,
    errors.DocumentRepeated,
    errors.DocumentContradicts,
    errors.DocumentExpired,
    errors.GuardianMissing,
    errors.GuardianNotAccepted,
    errors.GuardianNotNeeded,
    errors.ClassMissing,
    errors.UnknownClass,
    errors.ClassNotShown,
    errors.NotLongEnoughResident,
    errors.IncomeMissing,
    errors.IncomeNotWhole,
    errors.IncomeTooHigh,
    errors.DeclarationMissing,
    errors.Excluded,
    errors.LevelNotReached,
    errors.GroupMissing,
    errors.UnknownGroup,
    errors.GroupProofMissing,
    errors.GroupProofNotAccepted,
    errors.NomineesMissing,
    errors.TooManyNominees,
    errors.SharesDoNotAddUp,
    errors.ConsentMissing,
    errors.ConsentOutdated,
    errors.UnknownConsent,
    errors.UnknownLanguage,
    errors.NoUndertaking,
    errors.UnknownSlab,
    errors.UnknownFrequency,
    TableValueMissing,
    errors.AlreadyMember,
    errors.UnknownMember,
    identity_errors.UnusableName,
    identity_errors.UnusablePhone,
    identity_errors.DocumentMalformed,
    identity_errors.CheckDigitWrong,
)
"""Why people are not taken in."""


class MemberAnswer(Struct, frozen=True, omit_defaults=True):
    """A member as partners see them: nothing personal.

    `merged_into` is the number of the record that the one of this number was merged into, and that it answers for.
    """

    number: Annotated[str, Meta(examples=["500000000009"])]
    product: Annotated[str, Meta(examples=["nps-lite"])]
    joined_on: Annotated[date, Meta(examples=["2023-04-03"])]
    status: Annotated[str, Meta(examples=["active"])]
    group: Annotated[str, Meta(examples=["sahyog"])] = ""
    merged_into: Annotated[str, Meta(examples=["500000000017"])] = ""


class EnrolmentBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to 1,000 enrolments; each is answered on its own and never fails its neighbours, not even by its form."""

    items: Annotated[
        list[dict[str, Any]],
        Meta(
            min_length=1,
            max_length=MOST_ITEMS,
            description="Each as the body of a single enrolment, and `key`: what its Idempotency-Key would be.",
        ),
    ]


class EnrolmentItemAnswer(Struct, frozen=True, omit_defaults=True):
    """What became of one enrolment of a batch: a member, or a problem."""

    index: int
    status: int
    member: MemberAnswer | None = None
    problem: Problem | None = None


class EnrolmentBatchAnswer(Struct, frozen=True):
    """The answers, in the order of the enrolments."""

    items: list[EnrolmentItemAnswer]


class StatusRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a register outside says of a member; `joining` = `complete` says that all that was outstanding was shown."""

    attribute: Annotated[str, Meta(pattern=CODE, examples=["class"])]
    value: Annotated[str, Meta(pattern=CODE, examples=["ubudehe-2"])]
    source: Annotated[str, Meta(min_length=1, max_length=120, description="the register", examples=["social registry"])]
    as_of: Annotated[date, Meta(description="the day from which it is true", examples=["2023-04-01"])]
    expires_on: Annotated[date | None, Meta(description="the day on which it ends, where the register says so")] = None


class StatusAnswer(Struct, frozen=True):
    """Whether the word is new; the same word is recorded once."""

    is_new: bool


class VerificationRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which of the member's documents the agency is asked about."""

    document: Annotated[str, Meta(pattern=CODE, examples=["nid"])]
    one_time_code: Annotated[
        str,
        Meta(max_length=20, pattern=r"^[0-9A-Za-z]*$", description="what the agency sent to the member, if it did"),
    ] = ""


class SignInRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """In which language the authority's page speaks, where it can."""

    language: Annotated[str, Meta(max_length=20, pattern=r"^[A-Za-z0-9-]*$")] = ""


class SignInBegun(Struct, frozen=True):
    """Where to send the member."""

    url: str


class SignInReturn(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The query that the member came back with from the authority's page, as it came."""

    returned: Annotated[
        dict[Annotated[str, Meta(max_length=40)], Annotated[str, Meta(max_length=4096)]], Meta(max_length=20)
    ]


class DoubtDecision(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether whom the authority stated is the member; the reason is a short word of the scheme's own, nothing personal."""

    is_same_person: bool
    reason: Annotated[str, Meta(pattern=CODE, examples=["documents-seen"])]


class DeathDecision(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether a death is of a member: of the one it was matched to, or of the one whose number is given."""

    is_member: bool
    reason: Annotated[str, Meta(pattern=CODE, examples=["certificate-seen"])]
    member: Annotated[str, Meta(max_length=40)] = ""


class DeathReversalRequest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why a confirmed death is wrong, in a short word of the scheme's own."""

    reason: Annotated[str, Meta(pattern=CODE, examples=["member-appeared"])]


class DeathAnswer(Struct, frozen=True):
    """Where a notice of a death stands now."""

    notice: int
    state: DeathState


class DocumentTerms(Struct, frozen=True):
    """A kind of identity document that is accepted."""

    document: str


class GroupTerms(Struct, frozen=True):
    """A group through which people join."""

    code: str
    name: str


class ConsentTerms(Struct, frozen=True):
    """A consent that joining needs, in the words to show; `version` is to be sent back."""

    consent: str
    language: str
    version: str
    title: str
    text: str


class AgeTerms(Struct, frozen=True):
    """Ages of a sex or of those born from a day on, in place of the others; the last that fits counts."""

    sex: str
    born_from: date | None
    minimum: int
    maximum: int | None


class GuardianTerms(Struct, frozen=True):
    """Who joins through a guardian, and what must be shown; without child_documents any the product accepts will do."""

    below_age: int
    least_age: int
    relationships: list[str]
    guardian_documents: list[str]
    child_documents: list[str]


class PersonClassTerms(Struct, frozen=True):
    """A class of people that may join, and which documents show it; without any it is declared."""

    person_class: str
    documents: list[str]
    resident_months: int


class TermsAnswer(Struct, frozen=True, kw_only=True):
    """What joining a product needs today; `slabs` and `frequencies` are what one may undertake to pay, if anything."""

    product: str
    on: date
    age_minimum: int | None
    age_maximum: int | None
    ages: list[AgeTerms]
    guardian: GuardianTerms | None
    person_classes: list[PersonClassTerms]
    monthly_income_at_most: str | None
    declarations: list[str]
    documents: list[DocumentTerms]
    group_required: bool
    groups: list[GroupTerms]
    group_proof_required: bool
    group_proofs: list[str]
    group_proof_within_days: int
    nominee_required: bool
    nominees_at_most: int | None
    slabs: list[str]
    frequencies: list[str]
    consents: list[ConsentTerms]


def _bare(key: object) -> str:
    """Return the key without the quotes of a structured field: most clients send it bare, the draft wants it quoted."""
    if isinstance(key, str) and len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not isinstance(key, str) or not 0 < len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise errors.KeyMissing(most=LONGEST_KEY)
    return key


def _read(item: dict[str, Any]) -> Enrolment:
    """Return one enrolment of a batch.

    Raises:
        KeyMissing: it has no usable key.
        ItemUnreadable: a field is missing, unknown, or of another type.
    """
    key = _bare(item.get("key"))
    try:
        application = msgspec.convert({name: value for name, value in item.items() if name != "key"}, Application)
    except msgspec.ValidationError as error:
        field, reason = plain_words(error)
        raise errors.ItemUnreadable(field=field, reason=reason) from None
    return Enrolment(key, application)


def _shown(member: Enrolled) -> MemberAnswer:
    return MemberAnswer(member.number, member.product, member.joined_on, "active", member.group_code)


class MemberController(Controller):
    """People who join, and members."""

    path = "/v1/members"
    tags = ("Members",)

    @post(
        operation_id="EnrolMember",
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(errors.KeyMissing, errors.KeyReused, *JOINING_REFUSALS),
    )
    async def enrol(
        self,
        data: JSONBody[Application],
        idempotency_key: Key,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Response[MemberAnswer]:
        """Take a person in, once for each Idempotency-Key, and once for each person and product.

        What is personal goes to the encrypted vault and never comes back from here; the answer holds the member number.
        """
        (answer,) = await service.enrol(db, tenant, keys, [Enrolment(_bare(idempotency_key), data)], actor=caller.actor)
        if isinstance(answer, EngineError):
            raise answer
        return Response(_shown(answer), status_code=201, headers={"Location": f"/v1/members/{answer.number}"})

    @post(
        "/batch",
        operation_id="EnrolMembers",
        status_code=200,
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(errors.KeyMissing, errors.ItemUnreadable),
    )
    async def enrol_batch(
        self,
        data: JSONBody[EnrolmentBatch],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> EnrolmentBatchAnswer:
        """Take many people in; each is answered on its own."""
        answers: dict[int, Answer] = {}
        readable: dict[int, Enrolment] = {}
        for index, item in enumerate(data.items):
            try:
                readable[index] = _read(item)
            except EngineError as error:
                answers[index] = error
        came = await service.enrol(db, tenant, keys, list(readable.values()), actor=caller.actor)
        answers.update(zip(readable, came, strict=True))
        return EnrolmentBatchAnswer(
            [
                EnrolmentItemAnswer(index, answer.status, problem=problem_of(answer))
                if isinstance(answer, EngineError)
                else EnrolmentItemAnswer(index, 201, member=_shown(answer))
                for index, answer in sorted(answers.items())
            ]
        )

    @get(
        "/{number:str}",
        operation_id="GetMember",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(errors.UnknownMember),
    )
    async def show(
        self,
        number: FromPath[str],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> MemberAnswer:
        """Return the member of that number; another scheme's member, a mistyped and an unused number look the same."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            found = await service.find_member(session, keys, number)
            into = await identity.number_merged_into(session, keys, number, found.member_id, actor=caller.actor)
        return MemberAnswer(number, found.product, found.joined_on, found.status.value, found.group_code, into)

    @post(
        "/{number:str}/statuses",
        operation_id="RecordStatus",
        opt={"permission": Permission.MEMBERS_STATUS},
        responses=refuses(errors.UnknownMember),
    )
    async def record_status(
        self,
        number: FromPath[str],
        data: JSONBody[StatusRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> StatusAnswer:
        """Record what a register says of a member: state money, eligibility and what is outstanding go by it from then on."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            member = await service.find_member(session, keys, number)
            word = StatusWord(member.member_id, data.attribute, data.value, data.source, data.as_of, data.expires_on)
            new = await service.record_statuses(session, tenant, [word], actor=caller.actor)
        return StatusAnswer(bool(new))


class VerificationController(Controller):
    """Members' identities checked with authorities, and the doubts that people decide."""

    path = "/v1"
    tags = ("Members",)

    @post(
        "/members/{number:str}/verifications",
        operation_id="AskForVerification",
        status_code=202,
        opt={"permission": Permission.MEMBERS_VERIFY},
        responses=refuses(errors.UnknownMember, errors.CannotVerify, errors.DocumentMissing),
    )
    async def ask(
        self,
        number: FromPath[str],
        data: JSONBody[VerificationRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        verifiers: NamedDependency[Verifiers],
    ) -> Verification:
        """Ask the scheme's identity agency about a member; while no answer has come, asking again asks nothing new."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.ask_agency(
                session,
                keys,
                tenant,
                verifiers,
                number=number,
                document=data.document,
                one_time_code=data.one_time_code,
                actor=caller.actor,
            )

    @post(
        "/members/{number:str}/sign-ins",
        operation_id="StartSignIn",
        opt={"permission": Permission.MEMBERS_VERIFY},
        responses=refuses(errors.UnknownMember, errors.CannotVerify),
    )
    async def start_sign_in(
        self,
        number: FromPath[str],
        data: JSONBody[SignInRequest],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        verifiers: NamedDependency[Verifiers],
    ) -> SignInBegun:
        """Return where a member identifies themselves at an authority's own page."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            url = await service.start_sign_in(session, keys, tenant, verifiers, number=number, language=data.language)
        return SignInBegun(url)

    @post(
        "/sign-ins/return",
        operation_id="FinishSignIn",
        status_code=202,
        opt={"permission": Permission.MEMBERS_VERIFY},
        responses=refuses(errors.SignInUsed, errors.CannotVerify),
    )
    async def finish_sign_in(
        self,
        data: JSONBody[SignInReturn],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
        verifiers: NamedDependency[Verifiers],
    ) -> Verification:
        """Have what a member came back with proven by the authority; each sign-in counts once, and for some minutes."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.finish_sign_in(session, keys, tenant, verifiers, data.returned, actor=caller.actor)

    @get(
        "/verifications/{reference:uuid}",
        operation_id="GetVerification",
        opt={"permission": Permission.MEMBERS_READ},
        responses=refuses(errors.UnknownVerification),
    )
    async def find(
        self,
        reference: FromPath[UUID],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Verification:
        """Return what has come of a check: which kinds of attributes the authority stated, as of when, and none of them."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.find_verification(session, keys, reference, actor=caller.actor)

    @get("/identity/doubts", operation_id="ListIdentityDoubts", opt={"permission": Permission.IDENTITY_DECIDE})
    async def list_doubts(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[Doubt]:
        """Return the checks that a person must decide, the oldest first, 100 at most; reading them is noted."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_doubts(session, keys, most=100, actor=caller.actor)

    @post(
        "/identity/doubts/{reference:uuid}/decision",
        operation_id="DecideIdentityDoubt",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownVerification, errors.NothingToDecide, SamePerson),
    )
    async def decide_doubt(
        self,
        reference: FromPath[UUID],
        data: JSONBody[DoubtDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> Verification:
        """Decide whether whom the authority stated is the member; whoever asked does not decide."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.decide_doubt(
                session,
                keys,
                tenant,
                reference,
                is_same_person=data.is_same_person,
                reason=data.reason,
                actor=caller.actor,
            )


class DeathController(Controller):
    """Deaths that registers tell of, where people must look."""

    path = "/v1/identity/deaths"
    tags = ("Members",)

    @get(operation_id="ListDeathNotices", opt={"permission": Permission.IDENTITY_DECIDE})
    async def list_deaths(
        self,
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> list[Death]:
        """Return the notices that a person must look at, the oldest first, 100 at most; reading them is noted."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            return await service.list_deaths(session, keys, tenant, most=100, actor=caller.actor)

    @post(
        "/{notice:int}/decision",
        operation_id="DecideDeathNotice",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownDeath, errors.NothingToDecide, errors.UnknownMember),
    )
    async def decide(
        self,
        notice: FromPath[int],
        data: JSONBody[DeathDecision],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        keys: NamedDependency[FileKeyStore],
    ) -> DeathAnswer:
        """Decide whether a death is of a member; if it is, nothing more is paid to them."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            state = await service.decide_death(
                session,
                keys,
                tenant,
                notice,
                is_member=data.is_member,
                reason=data.reason,
                actor=caller.actor,
                number=data.member,
            )
        return DeathAnswer(notice, state)

    @post(
        "/{notice:int}/reversal",
        operation_id="ProposeDeathReversal",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownDeath, errors.NothingToDecide),
    )
    async def propose(
        self,
        notice: FromPath[int],
        data: JSONBody[DeathReversalRequest],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> DeathAnswer:
        """Propose that a confirmed death is wrong; nothing changes until another person approves."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            state = await service.propose_reversal(session, tenant, notice, reason=data.reason, actor=caller.actor)
        return DeathAnswer(notice, state)

    @post(
        "/{notice:int}/reversal/approval",
        operation_id="ApproveDeathReversal",
        status_code=200,
        opt={"permission": Permission.IDENTITY_DECIDE},
        responses=refuses(errors.UnknownDeath, errors.NothingToDecide, SamePerson),
    )
    async def approve(
        self,
        notice: FromPath[int],
        caller: NamedDependency[Caller],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
    ) -> DeathAnswer:
        """Take a confirmed death back, as a second person."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            state = await service.approve_reversal(session, tenant, notice, actor=caller.actor)
        return DeathAnswer(notice, state)


class EnrolmentTermsController(Controller):
    """What joining needs, for those who enrol people in pages of their own."""

    path = "/v1/enrolment-terms"
    tags = ("Members",)

    @get(
        "/{product:str}",
        operation_id="GetEnrolmentTerms",
        opt={"permission": Permission.MEMBERS_ENROL},
        responses=refuses(UnknownProduct, errors.NotOpen, errors.ClosedToJoining),
    )
    async def terms(
        self,
        product: FromPath[str],
        tenant: NamedDependency[Tenant],
        db: NamedDependency[Database],
        language: Annotated[
            str, QueryParameter(max_length=20, description="The language of the consents' words.")
        ] = "",
        born_on: Annotated[
            date | None, QueryParameter(description="The birth date of who is to join, where rules go by it.")
        ] = None,
    ) -> TermsAnswer:
        """Return who may join the product today, what they must show, and the words they must agree to."""
        async with db.unit_of_work(tenant.tenant_id) as session:
            today = business_date(await ledger.scheme_now(session), tenant.time_zone)
            figures = await tenancy.figures_for(session, tenant)
        terms = terms_of(tenant.pack, product, today, born_on)
        check_open(terms)
        undertaken = undertaking_terms_of(tenant.pack, product, today, today)
        age = terms.age.rule if terms.age else None
        minors = terms.minors.rule if terms.minors else None
        proof = terms.group_proof.rule if terms.group_proof else None
        income = monthly_ceiling(terms.income.rule, figures, today) if terms.income else None
        groups = terms.groups.rule if terms.groups else None
        nominees = terms.nominees.rule if terms.nominees else None
        texts = [
            tenant.pack.consent(purpose, language or None)
            for purpose in (terms.consents.rule.purposes if terms.consents else ())
        ]
        return TermsAnswer(
            product=product,
            on=today,
            age_minimum=age.minimum if age else None,
            age_maximum=age.maximum if age else None,
            ages=[AgeTerms(one.sex, one.born_from, one.minimum, one.maximum) for one in age.ages] if age else [],
            guardian=GuardianTerms(
                minors.below_age,
                minors.least_age,
                list(minors.relationships),
                list(minors.guardian_documents),
                list(minors.child_documents),
            )
            if minors
            else None,
            person_classes=[
                PersonClassTerms(one.rule.person_class, list(one.rule.documents), one.rule.resident_months)
                for one in terms.classes
            ],
            monthly_income_at_most=f"{income.decimal():.{income.asset.scale}f}" if income else None,
            declarations=[one.rule.fact for one in terms.exclusions if one.rule.asked],
            documents=[DocumentTerms(one.rule.document) for one in terms.documents],
            group_required=groups.required if groups else False,
            groups=[GroupTerms(one.code, one.name) for one in groups.groups] if groups else [],
            group_proof_required=proof.required if proof else False,
            group_proofs=list(proof.proofs) if proof else [],
            group_proof_within_days=proof.within_days if proof else 0,
            nominee_required=nominees.required if nominees else False,
            nominees_at_most=nominees.maximum if nominees else None,
            slabs=list(undertaken.chart.rule.slabs) if undertaken else [],
            frequencies=list(undertaken.frequencies) if undertaken else [],
            consents=[
                ConsentTerms(one.id, one.language, one.version, one.title, one.text) for one in texts if one is not None
            ],
        )
