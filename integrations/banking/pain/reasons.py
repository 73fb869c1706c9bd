"""A bank's codes in the engine's words. Source: ISO 20022 external code sets, payment statuses and status reasons."""

from types import MappingProxyType

from engine.kernel.outcomes import Answer, Reason, RequestState

STATES = MappingProxyType(
    {
        "RCVD": RequestState.PENDING,  # received
        "PDNG": RequestState.PENDING,  # checks go on
        "ACTC": RequestState.PENDING,  # well-formed
        "ACCP": RequestState.PENDING,  # the customer may
        "ACWC": RequestState.PENDING,  # accepted with a change, such as another day
        "ACFC": RequestState.PENDING,  # there are funds
        "ACSP": RequestState.PENDING,  # settlement is under way
        "ACWP": RequestState.PENDING,  # at the payee's bank, not on the account
        "ACSC": RequestState.SUCCEEDED,  # settled on the payer's account
        "ACCC": RequestState.SUCCEEDED,  # settled on the payee's account
        "RJCT": RequestState.FAILED,
        "CANC": RequestState.FAILED,
        "BLCK": RequestState.FAILED,
    }
)
SOME = "PART"
"""The status of a whole some of whose payments were taken and some not: each is asked for itself."""

REASONS = MappingProxyType(
    {
        **dict.fromkeys(("AC01", "AC02", "AC03", "AC04", "AC05", "AC07", "RC01", "RC03", "RC04", "CNOR", "DNOR", "BE23"),
                        Reason.NOT_REGISTERED),
        **dict.fromkeys(("AC06", "AG01", "AG07", "MD07", "BLCK", "LEGL", "RR05"), Reason.BLOCKED),
        **dict.fromkeys(("AM04", "AM23"), Reason.INSUFFICIENT_FUNDS),
        **dict.fromkeys(("AM02", "AM14", "AM16", "AM21", "ED03"), Reason.LIMIT),
        **dict.fromkeys(("AM05", "DUPL", "FF10", "TD02"), Reason.DUPLICATE),
        **dict.fromkeys(("MD01", "MD06", "MS02", "SL01", "SL11", "SL12", "SL13", "SL14", "CUST", "DS02"),
                        Reason.PAYER_REJECTED),
        **dict.fromkeys(("TM01", "CUTA", "AB05", "AB06"), Reason.EXPIRED),
        **dict.fromkeys(("AB01", "AB02", "AB03", "AB04", "AB07", "AB08", "AB09", "AB10", "ED05", "NOAS"),
                        Reason.PROVIDER_DOWN),
        **dict.fromkeys(("AG02", "AM01", "AM03", "AM09", "AM10", "AM11", "AM12", "AM18", "AM19", "BE01", "BE04", "BE05",
                         "BE06", "BE07", "CH03", "CURR", "DT01", "DT02", "FF01", "FF02", "FF03", "MD02", "RF01", "RR01",
                         "RR02", "RR03", "RR04"), Reason.INVALID_REQUEST),
    }
)  # fmt: skip
_SIGNATURES = "DS"  # the codes DS01 to DS27 are about who signed, and may they


def reason_of(code: str) -> Reason:
    """Return a status reason's code in the engine's words; OTHER if it has none for it."""
    found = REASONS.get(code)
    if found is not None:
        return found
    return Reason.AUTH if code.startswith(_SIGNATURES) and code[2:].isalnum() and len(code) == 4 else Reason.OTHER


def answer_of(status: str, reason: str, *, provider_ref: str = "") -> Answer:
    """Return what a status and its reason, "" for none, say of a payment.

    A rejection as a duplicate says that the bank has the payment already, so it has not failed: it is PENDING, and what is
    known of the first one decides. A status that is none of the standard's is PENDING and ambiguous.
    """
    state = STATES.get(status)
    code = f"{status}/{reason}" if reason else status
    if state is None:
        return Answer(state=RequestState.PENDING, reason=Reason.AMBIGUOUS, code=code, provider_ref=provider_ref)
    if state is not RequestState.FAILED:
        return Answer(state=state, code=code, provider_ref=provider_ref)
    why = reason_of(reason or status)
    if why is Reason.DUPLICATE:
        state = RequestState.PENDING
    return Answer(state=state, reason=why, code=code, provider_ref=provider_ref)
