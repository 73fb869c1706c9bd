"""Every page there is, for composition to serve."""

from engine.web.corrections import CorrectionPages
from engine.web.explaining import ExplanationPages
from engine.web.failures import html_errors
from engine.web.public import PublicPages
from engine.web.second_person import SecondPersonPages
from engine.web.staff import StaffPages
from engine.web.suspense import SuspensePages

WEB_HANDLERS = (PublicPages, StaffPages, SecondPersonPages, ExplanationPages, CorrectionPages, SuspensePages)

__all__ = ["WEB_HANDLERS", "html_errors"]
