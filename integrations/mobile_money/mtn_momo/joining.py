"""How MTN MoMo is joined: its table in the secrets file, and the ports it answers."""

from msgspec import Struct

from engine.kernel.joining import BaseUrl, Given, Means
from integrations.mobile_money.mtn_momo.adapter import MtnAccounts, MtnCollections, MtnPayouts, MtnProduct
from integrations.mobile_money.mtn_momo.wire import Platform, Product, ProductKeys


class Keys(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one product is entered with."""

    subscription_key: Given
    api_user: Given
    api_key: Given

    def __repr__(self) -> str:
        return "Keys(...)"


class Credentials(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where MTN is asked, and the keys of its products. `environment` is "sandbox" or a country's, such as "mtnuganda"."""

    base_url: BaseUrl
    environment: Given
    collection: Keys
    disbursement: Keys | None = None


def _product(credentials: Credentials, means: Means, product: Product, keys: Keys) -> MtnProduct:
    platform = Platform(base_url=credentials.base_url, environment=credentials.environment)
    entry = ProductKeys(subscription_key=keys.subscription_key, api_user=keys.api_user, api_key=keys.api_key)
    return MtnProduct(means.transport, means.tokens, platform, product, entry)


class JoinsCollections:
    """Answers `Joins` for collections."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> MtnCollections:
        """Return the adapter."""
        return MtnCollections(_product(credentials, means, Product.COLLECTION, credentials.collection))


class JoinsPayouts:
    """Answers `Joins` for payouts."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> MtnPayouts | None:
        """Return the adapter; None without keys of the disbursement product."""
        if credentials.disbursement is None:
            return None
        return MtnPayouts(_product(credentials, means, Product.DISBURSEMENT, credentials.disbursement))


class JoinsAccountCheck:
    """Answers `Joins` for account checks."""

    credentials = Credentials

    def join(self, credentials: Credentials, means: Means) -> MtnAccounts:
        """Return the adapter."""
        return MtnAccounts(_product(credentials, means, Product.COLLECTION, credentials.collection))
