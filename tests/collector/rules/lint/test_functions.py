from collections.abc import Callable

Remarks = Callable[[str, str], str]


def test_a_function_we_lack_is_told_in_its_template(remarks: Remarks) -> None:
    rule = "- {alert: A, expr: node_load1 > 1, for: 5m, annotations: {summary: 'see {{ graphLink \"m\" }}'}}"
    assert remarks("functions", rule) == (
        'r.yml:4:80: warning: A: summary will show an error: function "graphLink" not defined\n'
        f"        {rule}\n"
        f"{'^':>84}"
    )


def test_what_we_have_is_fine(remarks: Remarks) -> None:
    text = '{{ $value | humanize }} {{ printf "%.1f" $value }}'
    rule = f"- {{alert: A, expr: node_load1 > 1, for: 5m, annotations: {{s: '{text}'}}}}"
    assert remarks("functions", rule) == ""
