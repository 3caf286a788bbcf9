"""What notebooks show: bounded, escaped, and with links to the page of a node."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest

import larder
from larder.building import Build, Builds
from larder.listing import Entry, Info, Keys, html_table
from larder.used import Saving, Usage

BAD = "<script>alert('x')</script>\"&"
NOW = datetime(2022, 1, 30, tzinfo=UTC)
PAGE = "http://127.0.0.1:1/ui/"


def info(key: str) -> Info:
    return Info(key, 5, "", NOW, BAD, BAD, BAD, BAD, BAD, {BAD: BAD}, 1.5, {}, 1, NOW, PAGE + BAD)


def usage(n: int) -> Usage:
    saving = Saving(1, 1, None)
    names = {f"{BAD}{i}": saving for i in range(n)}
    return Usage(BAD, 5, 5, {}, {}, None, {}, saving, saving, saving, names, names, saving, 1, PAGE)


SHOWN: list[Callable[[int], Any]] = [
    lambda n: Keys((Entry(f"{BAD}{i}", 5, "", NOW) for i in range(n)), PAGE + "#/object/objects/"),
    lambda n: Keys([Entry(BAD * 1000, 5, "", NOW)] * n)[: n - 1],
    lambda n: info(BAD * n),
    lambda n: larder.listing.Infos(info(f"{BAD}{i}") for i in range(n)),
    lambda n: Builds([Build("objects", BAD, BAD, NOW, 1, 2, 0.5, BAD * n, n)] * n, PAGE),
    usage,
    lambda n: larder.init("2022-01-30", client=larder.Client("http://127.0.0.1:1"), **{BAD: BAD * n}),
    lambda n: larder.init("2022-01-30", client=larder.Client(["http://127.0.0.1:1"] * n)).strategy_service(),
    lambda n: larder.ObjectService(larder.Client(["http://127.0.0.1:1", "http://127.0.0.1:2"])),
]


@pytest.mark.parametrize("make", SHOWN)
@pytest.mark.parametrize("n", [2, 5000])
def test_shown_in_a_notebook(make: Callable[[int], Any], n: int) -> None:
    html = make(n)._repr_html_()
    assert "<script" not in html
    assert html.count("<table>") == html.count("</table>") == 1
    assert len(html) < 200_000
    for href in re.findall(r'href="([^"]*)"', html):
        assert href.startswith("http://127.0.0.1:")


def test_links_lead_to_the_page(objects: larder.ObjectService, client: larder.Client, unique: str) -> None:
    key = f"{unique}/a b?#%ü"
    objects.put(key, 1)
    page = f"{client.settings.nodes[0]}/ui/"
    for shown in (objects.keys(unique), objects.keys(unique)[:1], objects.info(key), objects.info_many(unique)):
        (link,) = re.findall(r'href="([^"]*)" target="_blank" rel="noopener noreferrer"', shown._repr_html_())
        begin, at, quoted = link.partition("#/object/objects/")
        assert (begin, at, unquote(quoted)) == (page, "#/object/objects/", key)
        assert "/" not in quoted
    views: dict[str, Any] = {
        "#/find?service=objects": objects,
        "": client,
        "#/saved": client.usage(),
        "#/builds": larder.builds(client=client),
    }
    for view, plain in views.items():
        assert f'href="{page}{view}"' in plain._repr_html_()
    building = Builds([Build("objects", key, "ada", NOW, 1, None, None, "", 0)], client.view_at("builds"))
    assert f'href="{client.page_at("objects", key)}"' in building._repr_html_()


def test_no_link_to_anything_else() -> None:
    assert "href" not in html_table([""], [[larder.listing.Link("x", "javascript:alert(1)")]], "")
