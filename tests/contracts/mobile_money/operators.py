"""Every operator the contracts hold for: its adapters, joined to its simulator over real HTTP."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from engine.benefits.ports import Payouts
from engine.contributions.ports import Collections
from engine.kernel.amounts import Asset
from engine.kernel.clock import SystemClock
from engine.kernel.transport import Transport
from engine.runtime.exchanges.tokens import ProcessTokens
from integrations.mobile_money.airtel_money.adapter import Airtel, AirtelCollections, AirtelPayouts
from integrations.mobile_money.airtel_money.simulator import AirtelSimulator
from integrations.mobile_money.airtel_money.wire import App as AirtelApp
from integrations.mobile_money.gsma.adapter import GsmaCollections, GsmaPayouts, GsmaProvider
from integrations.mobile_money.gsma.simulator import GsmaSimulator
from integrations.mobile_money.gsma.wire import Provider
from integrations.mobile_money.mpesa_daraja.adapter import Daraja, DarajaCollections, DarajaPayouts
from integrations.mobile_money.mpesa_daraja.simulator import DarajaSimulator
from integrations.mobile_money.mpesa_daraja.wire import App, Shortcode, security_credential
from integrations.mobile_money.mtn_momo import simulator as mtn
from integrations.mobile_money.mtn_momo.adapter import MtnCollections, MtnPayouts, MtnProduct
from integrations.mobile_money.mtn_momo.wire import Platform, Product, ProductKeys
from integrations.mobile_money.simulation import Simulator, serving


@dataclass
class Operator:
    """One operator. The numbers are of people with a fate: one who pays, one who has too little, one who says no."""

    name: str
    simulator: Simulator
    collections: Collections
    payouts: Payouts
    currency: Asset
    payer: str
    poor: str
    unwilling: str
    deduplicates_collections: bool = True  # whether the operator knows a collection by our reference
    states_amounts: bool = True  # whether an enquiry tells the amount
    forget_tokens: Callable[[], None] = lambda: None
    register: Callable[[str], None] | None = None  # where it has one address for all callbacks


Open = Callable[[Transport, Transport], AbstractAsyncContextManager[Operator]]
"""(what callbacks are sent by, what the adapters send by) -> the operator."""


@asynccontextmanager
async def open_mtn(callbacks: Transport, transport: Transport) -> AsyncIterator[Operator]:
    keys = {"collection": "collection-subscription", "disbursement": "disbursement-subscription"}
    simulator = mtn.MtnSimulator(callbacks, keys=keys)
    # The gateway of 2026 gives out users that end in "=".
    simulator.add_user("aW52ZW50ZWQ=", "an-invented-key")
    async with serving(simulator) as url:
        tokens, platform = ProcessTokens(), Platform(base_url=url, environment="sandbox")

        def product(one: Product) -> MtnProduct:
            entry = ProductKeys(subscription_key=keys[one], api_user="aW52ZW50ZWQ=", api_key="an-invented-key")
            return MtnProduct(transport, tokens, platform, one, entry)

        yield Operator(
            name="mtn-momo",
            simulator=simulator,
            collections=MtnCollections(product(Product.COLLECTION)),
            payouts=MtnPayouts(product(Product.DISBURSEMENT)),
            currency=Asset.currency("EUR"),
            payer="+256772000111",
            poor=f"+{mtn.POOR}",
            unwilling=f"+{mtn.REJECTED}",
            forget_tokens=simulator.forget_tokens,
        )


DARAJA = {
    "shortcode": "600981",
    "passkey": "an-invented-passkey",
    "initiator": "invented",
    "password": "an-invented-password",
}
DARAJA_KEY, DARAJA_SECRET = "an-invented-key", "an-invented-secret"


def daraja_simulator(transport: Transport, *, validates: bool = False) -> DarajaSimulator:
    return DarajaSimulator(
        transport,
        key=DARAJA_KEY,
        secret=DARAJA_SECRET,
        shortcode=DARAJA["shortcode"],
        passkey=DARAJA["passkey"],
        initiator=DARAJA["initiator"],
        password=DARAJA["password"],
        validates=validates,
    )


def join_daraja(transport: Transport, simulator: DarajaSimulator, url: str) -> Daraja:
    shortcode = Shortcode(
        number=DARAJA["shortcode"],
        passkey=DARAJA["passkey"],
        initiator=DARAJA["initiator"],
        credential=security_credential(DARAJA["password"], simulator.certificate),
    )
    app = App(base_url=url, consumer_key=DARAJA_KEY, consumer_secret=DARAJA_SECRET)
    return Daraja(transport, ProcessTokens(), app, shortcode, SystemClock())


@asynccontextmanager
async def open_daraja(callbacks: Transport, transport: Transport) -> AsyncIterator[Operator]:
    simulator = daraja_simulator(callbacks)
    async with serving(simulator) as url:
        daraja = join_daraja(transport, simulator, url)
        yield Operator(
            name="mpesa-daraja",
            simulator=simulator,
            collections=DarajaCollections(daraja),
            payouts=DarajaPayouts(daraja),
            currency=Asset.currency("KES"),
            payer="+254712345678",
            poor="+254712345001",
            unwilling="+254712345032",
            deduplicates_collections=False,
            forget_tokens=simulator.forget_tokens,
        )


GSMA = {"client_id": "invented", "client_secret": "an-invented-secret", "api_key": "an-invented-key"}


@asynccontextmanager
async def open_gsma(callbacks: Transport, transport: Transport) -> AsyncIterator[Operator]:
    simulator = GsmaSimulator(
        callbacks, client_id=GSMA["client_id"], client_secret=GSMA["client_secret"], api_key=GSMA["api_key"]
    )
    async with serving(simulator) as url:
        provider = GsmaProvider(transport, ProcessTokens(), gsma_provider(url))
        yield Operator(
            name="gsma",
            simulator=simulator,
            collections=GsmaCollections(provider),
            payouts=GsmaPayouts(provider),
            currency=Asset.currency("ZMW"),
            payer="+260971234567",
            poor="+260971234001",
            unwilling="+260971234032",
            forget_tokens=simulator.forget_tokens,
        )


def gsma_provider(url: str) -> Provider:
    return Provider(
        base_url=f"{url}/v1.2/mm",
        token_url=f"{url}/oauth/token",
        client_id=GSMA["client_id"],
        client_secret=GSMA["client_secret"],
        api_key=GSMA["api_key"],
        account="2999",
    )


AIRTEL = {"client_id": "invented", "client_secret": "an-invented-secret", "pin": "4821"}


@asynccontextmanager
async def open_airtel(callbacks: Transport, transport: Transport) -> AsyncIterator[Operator]:
    simulator = AirtelSimulator(
        callbacks, client_id=AIRTEL["client_id"], client_secret=AIRTEL["client_secret"], pin=AIRTEL["pin"]
    )

    def register(url: str) -> None:
        simulator.callback_url = url

    async with serving(simulator) as url:
        airtel = Airtel(transport, ProcessTokens(), airtel_app(url))
        yield Operator(
            name="airtel-money",
            simulator=simulator,
            collections=AirtelCollections(airtel),
            payouts=AirtelPayouts(airtel),
            currency=Asset.currency("UGX"),
            payer="+256752604392",
            poor="+256752604001",
            unwilling="+256752604032",
            deduplicates_collections=False,
            states_amounts=False,
            forget_tokens=simulator.forget_tokens,
            register=register,
        )


def airtel_app(url: str) -> AirtelApp:
    return AirtelApp(
        base_url=url,
        client_id=AIRTEL["client_id"],
        client_secret=AIRTEL["client_secret"],
        country="UG",
        currency="UGX",
        pin=AIRTEL["pin"],
    )


OPERATORS: dict[str, Open] = {
    "mtn-momo": open_mtn,
    "mpesa-daraja": open_daraja,
    "gsma": open_gsma,
    "airtel-money": open_airtel,
}
