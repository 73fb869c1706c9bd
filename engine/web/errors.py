"""What the pages refuse."""

from engine.kernel.errors import Invalid
from engine.kernel.text import N_


class PriceDiffers(Invalid):
    """The second person typed another price than the one that waits."""

    code = "web.price-differs"
    message = N_("The price you typed is not the one that waits. Nothing was decided; look at both sources again.")
