"""Routes of enrolment."""

from engine.enrolment.api.joining import (
    DeathController,
    EnrolmentTermsController,
    MemberController,
    VerificationController,
)
from engine.enrolment.api.undertakings import UndertakingController

__all__ = [
    "DeathController",
    "EnrolmentTermsController",
    "MemberController",
    "UndertakingController",
    "VerificationController",
]
