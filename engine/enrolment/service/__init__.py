"""Use cases of enrolment: take people in, let members join more products, move them from one product to another."""

from engine.enrolment.service.joining import (
    CHUNK,
    LONGEST_KEY,
    Answer,
    Enrolled,
    Enrolment,
    ImportReport,
    enrol,
    enrol_chunk,
    find_member,
    import_members,
)
from engine.enrolment.service.memberships import (
    Moved,
    in_their_products,
    join_product,
    memberships_of,
    move_members,
    products_behind,
)
from engine.enrolment.service.statuses import CLASS, StatusWord, known_again, record_statuses

__all__ = [
    "CHUNK",
    "CLASS",
    "LONGEST_KEY",
    "Answer",
    "Enrolled",
    "Enrolment",
    "ImportReport",
    "Moved",
    "StatusWord",
    "enrol",
    "enrol_chunk",
    "find_member",
    "import_members",
    "in_their_products",
    "join_product",
    "known_again",
    "memberships_of",
    "move_members",
    "products_behind",
    "record_statuses",
]
