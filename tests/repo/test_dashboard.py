"""deploy/grafana/ledgerlift.json, as far as it can be looked at without Grafana and without Prometheus."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

from tests.repo.monitoring import DASHBOARD, dashboard, panels

WIDTH = 24
"""Columns of Grafana's grid."""


def test_its_datasource_is_a_variable() -> None:
    """It is imported anywhere: every panel, query and variable asks the Prometheus that is chosen."""
    read = dashboard()
    variables = {variable["name"]: variable for variable in read["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking: list[dict[str, Any]] = [*panels(), *(target for panel in panels() for target in panel["targets"])]
    asking += [variables["job"], variables["instance"], *read["annotations"]["list"]]
    assert [one for one in asking if one["datasource"] != chosen] == []


def test_job_and_server_can_be_chosen_in_every_query() -> None:
    """Or a panel would show something else than what is asked for."""
    for panel in panels():
        for target in panel["targets"]:
            assert '{job=~"$job", instance=~"$instance"' in target["expr"], panel["title"]


def test_panels_have_a_place_of_their_own() -> None:
    """No two have one id, one title or one place, and none stands beyond the edge."""
    read = dashboard()["panels"]
    assert len({panel["id"] for panel in read}) == len(read)
    titles = [panel["title"] for panel in read]
    assert sorted(title for title in set(titles) if titles.count(title) > 1) == ["Uploads running"]
    for panel in read:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
    for one, other in combinations(read, 2):
        a, b = one["gridPos"], other["gridPos"]
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        below = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert beside or below, f"{one['title']} and {other['title']}"


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    """For whoever is woken at night."""
    for panel in panels():
        assert panel["description"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_the_file_is_as_it_is_written() -> None:
    """Indented by two, so that a change of one panel is a change of a few lines."""
    assert DASHBOARD.read_text() == json.dumps(dashboard(), indent=2) + "\n"
