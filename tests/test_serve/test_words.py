"""What errors tell a page: the file, not where it lies."""

import pytest

from serve.words import without_paths, without_paths_in


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/data/lake/raw/x-20260206.dbn is empty", "x-20260206.dbn is empty"),
        (
            "/data/lake/raw/symbol=MNQ/table=mbo holds no file of that day (there: a.dbn)",
            "the lake holds no file of that day (there: a.dbn)",
        ),
        ("no such run in /srv/lake/research/results; see", "no such run in the lake; see"),
        ("'/home/a b/c.dbn' and \"/x/y.yaml\"", "'a b/c.dbn' and \"y.yaml\""),
        ("/data/models/champion-000001.yaml: not as it was.", "champion-000001.yaml: not as it was."),
        ("lies in /usr/share/market.", "lies in market."),
        ("ask http://127.0.0.1:8002/v1/sessions again", "ask http://127.0.0.1:8002/v1/sessions again"),
        ("see /health or tp/sl 2/4, 1/2 done", "see /health or tp/sl 2/4, 1/2 done"),
        ("two\nlines", "two lines"),
    ],
)
def test_a_path_is_cut_to_what_it_leads_to(text: str, told: str) -> None:
    assert without_paths(text) == told


def test_all_texts_of_a_value_are_cut() -> None:
    assert without_paths_in({"a": ["/x/y.z", 1, None], "b": {"c": "/p/q/r.s gone"}}) == {
        "a": ["y.z", 1, None],
        "b": {"c": "r.s gone"},
    }
