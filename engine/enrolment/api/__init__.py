"""Routes of enrolment."""

from engine.enrolment.api.joining import (
    DeathController,
    EnrolmentTermsController,
    MemberController,
    VerificationController,
)
from engine.enrolment.api.numbers import NumberController
from engine.enrolment.api.products import ProductsController
from engine.enrolment.api.undertakings import UndertakingController

__all__ = [
    "DeathController",
    "EnrolmentTermsController",
    "MemberController",
    "NumberController",
    "ProductsController",
    "UndertakingController",
    "VerificationController",
]
