"""Use cases of tenancy: load and check packs, create and serve tenants, set a scheme's clock, explain decisions."""

from engine.tenancy.service.checking import PackCheck, PackReport, ScenarioResult, check_pack, checked_pack
from engine.tenancy.service.decisions import (
    explain_decision,
    record,
    record_run,
    refusals_kept,
    rules_behind,
    tell_refusal,
    trace,
    zero_results,
)
from engine.tenancy.service.figures import (
    FiguresProposed,
    accept_figure,
    figures_for,
    list_figures,
    propose_figures,
    reject_figure,
)
from engine.tenancy.service.folders import load_pack, pack_folders
from engine.tenancy.service.scaffolding import NewPack, new_pack
from engine.tenancy.service.tenants import (
    Tenant,
    Tenants,
    activate_pack,
    advance_clock,
    create_tenant,
    stored_files,
    stored_pack,
)
from engine.tenancy.service.versions import (
    Reach,
    approve_pack,
    list_proposals,
    propose_pack,
    reaches_back,
    reject_pack,
)

__all__ = [
    "FiguresProposed",
    "NewPack",
    "PackCheck",
    "PackReport",
    "Reach",
    "ScenarioResult",
    "Tenant",
    "Tenants",
    "accept_figure",
    "activate_pack",
    "advance_clock",
    "approve_pack",
    "check_pack",
    "checked_pack",
    "create_tenant",
    "explain_decision",
    "figures_for",
    "list_figures",
    "list_proposals",
    "load_pack",
    "new_pack",
    "pack_folders",
    "propose_figures",
    "propose_pack",
    "reaches_back",
    "record",
    "record_run",
    "refusals_kept",
    "reject_figure",
    "reject_pack",
    "rules_behind",
    "stored_files",
    "stored_pack",
    "tell_refusal",
    "trace",
    "zero_results",
]
