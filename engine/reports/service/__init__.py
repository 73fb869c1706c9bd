"""Use cases of the reports: a member's statement, as figures, as text in a language, as a PDF."""

from engine.reports.service.decisions import Told, nothing_given, tell_decision
from engine.reports.service.entitlements import Entitlements, entitlements_of, is_money, tell_entitlements
from engine.reports.service.expecting import Expectation, Promise, expectation, expectation_of
from engine.reports.service.previewing import Affected, Preview, preview
from engine.reports.service.printing import print_statement, render_pdf
from engine.reports.service.projecting import (
    Projected,
    Saving,
    choices_of,
    project,
    project_member,
    saving_of,
    usual_saving,
)
from engine.reports.service.rule_book import RuleBookShown, RuleShown, rule_book_of, rule_book_page, rule_book_pdf
from engine.reports.service.sheets import Column, Letterhead, Table
from engine.reports.service.statements import find_member, statement
from engine.reports.service.wording import Sheet, sheet_of

__all__ = [
    "Affected",
    "Column",
    "Entitlements",
    "Expectation",
    "Letterhead",
    "Preview",
    "Projected",
    "Promise",
    "RuleBookShown",
    "RuleShown",
    "Saving",
    "Sheet",
    "Table",
    "Told",
    "choices_of",
    "entitlements_of",
    "expectation",
    "expectation_of",
    "find_member",
    "is_money",
    "nothing_given",
    "preview",
    "print_statement",
    "project",
    "project_member",
    "render_pdf",
    "rule_book_of",
    "rule_book_page",
    "rule_book_pdf",
    "saving_of",
    "sheet_of",
    "statement",
    "tell_decision",
    "tell_entitlements",
    "usual_saving",
]
