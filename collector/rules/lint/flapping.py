"""A level that moves with every sample opens and closes a ticket each time it touches its limit."""

from collections.abc import Iterator

from collector.promql.nodes import Binary, Call, Node, Operator, Range, Selector, operands
from collector.rules.duration import format_duration
from collector.rules.lint.shape import name_of
from collector.rules.lint.subject import Remark, Subject

CALM = 300.0  # seconds: a window this long is patience of its own
_ORDERING = frozenset({Operator.GREATER, Operator.GREATER_EQUAL, Operator.LESS, Operator.LESS_EQUAL})
_JUMPY = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "avg_over_time"})
_CLOCK = "node_time_seconds"
_SETTLED = frozenset(  # the collector itself has waited a deadline, or counts over days, before such a number moves
    {
        "czuwak_collector_blind_seconds",
        "czuwak_host_away_working_days",
        "czuwak_host_unexpected_reboots",
        "czuwak_outage_hosts",
    }
)
_AGES = frozenset({"time", "timestamp", "changes", "resets"})


def check(subject: Subject) -> Iterator[Remark]:
    """Alerts without `for` and `keep_firing_for` that compare a level of the last minutes with a limit."""
    alert = subject.alert
    if alert is None or alert.for_seconds or alert.keep_firing_for or alert.labels.get("ticket") == "no":
        return
    for node in subject.nodes:
        if isinstance(node, Binary) and node.operator in _ORDERING and _flaps(node.left):
            message = (
                f"without `for` this opens a ticket at the first sample beyond the limit; "
                f"wait some minutes, or compare over {format_duration(CALM)} or more"
            )
            yield subject.at_operator(node, message)
            return


def _flaps(node: Node) -> bool:
    """Whether the value can jump to and fro within minutes."""
    if isinstance(node, Selector):
        return name_of(node) not in _SETTLED
    if isinstance(node, Call) and (node.name in _AGES or node.name.startswith("absent")):
        return False
    if isinstance(node, Call) and node.arguments and isinstance(node.arguments[0], Range):
        return node.name in _JUMPY and node.arguments[0].seconds < CALM
    if isinstance(node, Binary) and any(_ages(one) for one in operands(node)):
        return False  # an age only grows
    return any(_flaps(one) for one in operands(node))


def _ages(node: Node) -> bool:
    return (isinstance(node, Call) and node.name in _AGES) or (isinstance(node, Selector) and name_of(node) == _CLOCK)
