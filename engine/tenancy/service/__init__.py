"""Use cases of tenancy: load and check packs, create and serve tenants, set a scheme's clock, explain decisions."""

from engine.tenancy.service.checking import PackReport, ScenarioResult, check_pack
from engine.tenancy.service.decisions import explain_decision, record, trace
from engine.tenancy.service.folders import load_pack, pack_folders
from engine.tenancy.service.tenants import (
    Tenant,
    Tenants,
    activate_pack,
    advance_clock,
    create_tenant,
    stored_pack,
)

__all__ = [
    "PackReport",
    "ScenarioResult",
    "Tenant",
    "Tenants",
    "activate_pack",
    "advance_clock",
    "check_pack",
    "create_tenant",
    "explain_decision",
    "load_pack",
    "pack_folders",
    "record",
    "stored_pack",
    "trace",
]
