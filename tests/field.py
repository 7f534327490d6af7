"""Where the rule packs and expression tests from the field are: they are not part of the project.

The folder is named by CZUWAK_FIELD_DATA; without it, one that stands beside the checkout is looked for.
"""

import os
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
HOW = "data from the field is not here; name its folder with CZUWAK_FIELD_DATA"


def field_data(kind: str) -> Path | None:
    """The folder of one kind, `rules` or `promqltest`; None where there is none."""
    named = os.environ.get("CZUWAK_FIELD_DATA")
    if named:
        return Path(named) / kind
    return next(iter(sorted(CHECKOUT.parent.glob(f"*/data/{kind}"))), None)
