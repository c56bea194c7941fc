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
WORDS = st.sampled_from(["VITAC", "skin", "x';drop", '"'])
TIMES = st.sampled_from(["2026-11-30", "'2026-11-30 17:00+08:00'", "'3d ago'"])
COMPARED = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
# Conditions that are understood: each field with the operators and values that fit it.
FITTING = st.one_of(
    st.tuples(
        st.sampled_from(
            ["city", "name", "device", "time_zone", "campaign", "sequence", "step", "attribute.state"]
        ),
        st.one_of(COMPARED, st.sampled_from(["contains", "like", "not contains", "not like"])),
        QUOTED,
    ).map(" ".join),
    st.tuples(
        st.sampled_from(["city", "sequence", "not name", "campaign"]),
        st.lists(QUOTED, min_size=1, max_size=3),
    ).map(lambda one: f"{one[0]} in ({', '.join(one[1])})"),
    st.tuples(
        st.sampled_from(["niche", "trigger"]),
        st.sampled_from(["has", "=", "!=", "contains", "not like"]),
        WORDS.map(lambda word: "'" + word.replace("'", "''") + "'"),
    ).map(" ".join),
    st.tuples(
        st.sampled_from(["created", "updated", "due", "replied", "opted_out", "consent"]), COMPARED, TIMES
    ).map(" ".join),
    st.sampled_from(
        ["replied", "opted_out = yes", "consent = no", "state in (active, paused)", "phone = +12015550123"]
    ),
)
ANY = st.one_of(
    st.tuples(NAMES, OPERATORS, VALUES).map(" ".join),
    st.tuples(NAMES, st.lists(VALUES, min_size=1, max_size=3)).map(
        lambda one: f"{one[0]} in ({', '.join(one[1])})"
    ),
    st.tuples(NAMES, st.sampled_from(["is empty", "is not empty", ""])).map(" ".join),
)
FILTERS = st.recursive(
    st.one_of(FITTING, FITTING, ANY),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(
            lambda one: f"({one[0]}) {one[1]} {one[2]}"
        ),
    ),
    max_leaves=6,
)
