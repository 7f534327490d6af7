"""Label sets: what identifies them, and that hostile text has an identity too."""

from collector.labels import Labels, canonical, dedup_key


def test_a_label_set_is_sorted_and_an_empty_value_is_no_label() -> None:
    assert Labels.of({"b": "2", "a": "1", "c": ""}).pairs == (("a", "1"), ("b", "2"))
    assert Labels.of({"a": "1"}, a="") == Labels()
    assert str(Labels.of({"__name__": "up", "a": 'x"\\\n'})) == 'up{a="x\\"\\\\\\n"}'


def test_the_fingerprint_of_no_labels_is_the_hash_s_offset() -> None:
    assert Labels().fingerprint() == "cbf29ce484222325"


def test_parts_of_a_key_do_not_run_together() -> None:
    some = Labels.of({"a": "bc"})
    keys = {
        dedup_key("alfa", "rules", some),
        dedup_key("alfar", "ules", some),
        dedup_key("alfa", "rules", Labels.of({"ab": "c"})),
        dedup_key("alfa", "rules", Labels()),
    }
    assert len(keys) == 4
    assert all(len(key) == 32 for key in keys)


def test_half_a_character_has_an_identity_and_never_an_error() -> None:
    halves = [Labels.of({"name": half}) for half in ("\ud800", "\udfff", "?")]
    assert len({dedup_key("alfa", "rules", labels) for labels in halves}) == 3
    assert len({labels.fingerprint() for labels in halves}) == 3
    assert dedup_key("\ud800", "rules", Labels()) != dedup_key("?", "rules", Labels())


def test_what_people_call_a_host_is_not_what_its_problem_is() -> None:
    host = Labels.of(alertname="A", instance="i", host="h", site="s", mountpoint="/").with_({"class": "server"})
    assert canonical(host) == Labels.of(alertname="A", instance="i", mountpoint="/")
    fleet = Labels.of(alertname="A", site="s").with_({"class": "server"})
    assert canonical(fleet) == fleet
