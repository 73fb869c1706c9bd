"""Use cases of notices: members are told what happened, once, and what became of each message is kept."""

from engine.notices.queries import CostRow, MessageRow
from engine.notices.service.looking import (
    MessageState,
    costs,
    lessons_wanted,
    list_messages,
    messages_of,
    total_of,
    waiting,
)
from engine.notices.service.queueing import MESSAGES, TOLD, Messenger, queue_messages
from engine.notices.service.reporting import REPORTS, greeting, report_address, report_operation
from engine.notices.service.sending import message_operation
from engine.notices.service.yearly import tell_of_statements

__all__ = [
    "MESSAGES",
    "REPORTS",
    "TOLD",
    "CostRow",
    "MessageRow",
    "MessageState",
    "Messenger",
    "costs",
    "greeting",
    "lessons_wanted",
    "list_messages",
    "message_operation",
    "messages_of",
    "queue_messages",
    "report_address",
    "report_operation",
    "tell_of_statements",
    "total_of",
    "waiting",
]
