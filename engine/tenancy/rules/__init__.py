"""What a pack says and what must hold of it. Pure: contents of files in, a pack and its problems out."""

from engine.tenancy.rules.books import InForce, RuleBook
from engine.tenancy.rules.branding import Theme, contrast
from engine.tenancy.rules.consents import ConsentText
from engine.tenancy.rules.explaining import RuleUsed, rules_used
from engine.tenancy.rules.manifest import Channel, Manifest, MemberNumber, Pot, Product, Regulator
from engine.tenancy.rules.packs import Pack, content_hash, decode_pack
from engine.tenancy.rules.proving import MissingInput, Runner, ScenarioContext
from engine.tenancy.rules.scenarios import Scenario

__all__ = [
    "Channel",
    "ConsentText",
    "InForce",
    "Manifest",
    "MemberNumber",
    "MissingInput",
    "Pack",
    "Pot",
    "Product",
    "Regulator",
    "RuleBook",
    "RuleUsed",
    "Runner",
    "Scenario",
    "ScenarioContext",
    "Theme",
    "content_hash",
    "contrast",
    "decode_pack",
    "rules_used",
]
