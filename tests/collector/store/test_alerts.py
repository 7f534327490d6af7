"""Alerts read by rule and company, on both databases."""

from collector.alerts.alert import Alert, AlertState
from collector.labels import Labels, dedup_key
from collector.store import Store, alerts
from collector.store.alerts import AlertCounts


def alert(rule: str, instance: str, company: str, state: AlertState, at: float, unknown: float | None = None) -> Alert:
    labels = Labels.of(alertname=rule, instance=instance, company=company)
    key = dedup_key(company, "rules", labels)
    return Alert(key, f"uid-{rule}", labels, state, at, at, 1.0, unknown_since=unknown)


def filled(store: Store) -> None:
    with store.write() as conn:
        rows = (
            alert("Disk", "a", "alfa", AlertState.PENDING, 1.0),
            alert("Disk", "b", "beta", AlertState.FIRING, 3.0, unknown=5.0),
            alert("Disk", "c", "alfa", AlertState.FIRING, 2.0),
            alert("Disk", "d", "", AlertState.FIRING, 9.0),
            alert("Cpu", "a", "beta", AlertState.PENDING, 1.0),
        )
        alerts.write_alerts(conn, rows)


def test_alerts_of_a_rule_firing_first_then_the_oldest(store: Store) -> None:
    filled(store)
    with store.read() as conn:
        found = alerts.alerts_of(conn, ["uid-Disk"], None)
        assert [a.labels.get("instance") for a in found] == ["c", "b", "d", "a"]
        both = alerts.alerts_of(conn, ["uid-Disk", "uid-Cpu"], frozenset({"beta"}))
        assert [a.labels.get("alertname") for a in both] == ["Disk", "Cpu"]
        assert len(alerts.alerts_of(conn, ["uid-Disk"], None, limit=2)) == 2
        assert alerts.alerts_of(conn, [], None) == []
        assert alerts.alerts_of(conn, ["uid-Disk"], frozenset()) == []


def test_alerts_are_counted_by_rule_in_the_reader_s_companies(store: Store) -> None:
    filled(store)
    with store.read() as conn:
        assert alerts.count_alerts(conn, None) == {"uid-Disk": AlertCounts(1, 3, 1), "uid-Cpu": AlertCounts(1, 0, 0)}
        assert alerts.count_alerts(conn, frozenset({"alfa"})) == {"uid-Disk": AlertCounts(1, 1, 0)}
        assert alerts.count_alerts(conn, frozenset()) == {}
