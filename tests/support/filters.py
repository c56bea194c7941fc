"""Filters on leads, at random: those that are understood, and those that are not."""

from hypothesis import strategies as st

from messaging.selection.fields import FIELDS

__all__ = ["FILTERS"]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
QUOTED = TEXTS.map(lambda text: "'" + text.replace("'", "''") + "'")
VALUES = st.one_of(
    QUOTED,
    st.sampled_from(
        [
            "KL",
            "x;drop",
            "--",
            "$1",
            "0",
            "1.5",
            "2026-11-30",
            "'3d ago'",
            "yes",
            "paused",
            "customer",
            "+12015550123",
        ]
    ),
)
NAMES = st.one_of(st.sampled_from([*FIELDS, "status", "city", "attribute.state"]), QUOTED)
OPERATORS = st.sampled_from(
    ["=", "!=", "<", "<=", ">", ">=", "has", "contains", "like", "not has", "not like"]
)
LEAVES = st.one_of(
    st.tuples(NAMES, OPERATORS, VALUES).map(" ".join),
    st.tuples(NAMES, st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda one: f"{one[0]} in ({', '.join(one[1])})"
    ),
    st.tuples(NAMES, st.sampled_from(["is empty", "is not empty", ""])).map(" ".join),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda one: f"({one[0]}) {one[1]} {one[2]}"
        ),
    ),
    max_leaves=6,
)
