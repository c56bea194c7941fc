"""No template and no value takes more than some milliseconds of a worker, whatever somebody has thought up."""

import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from messaging.texts.liquid import LEAD_VARIABLES, TemplateProblem, _compile, problems, render
from messaging.texts.liquid_filters import FILTERS

MOMENT = 0.03
"""Seconds for reading a template and rendering it once: some times what the worst of them takes."""

HOSTILE = {
    "name": "a" * 4096,
    "city": "a" * 999 + "b",
    "phone": "é" * 680,
    "niche": "a" * 2499,
    "trigger": "a" * 500 + "b" + "a" * 499,
    "device": " " * 4096,
    "number": "1e999999999",
    "digits": "9" * 4096,
}
KNOWN = {*LEAD_VARIABLES, *HOSTILE}


def took(template: str) -> float:
    """Seconds of the processor for reading a template and rendering it, at the best: Python may tidy up in between."""
    return min(_took(template) for _ in range(3))


def _took(template: str) -> float:
    _compile.cache_clear()
    began = time.thread_time()
    problem = ""
    try:
        assert len(render(template, HOSTILE)) <= 4096
    except TemplateProblem as error:
        problem = str(error)
    spent = time.thread_time() - began
    assert "\n" not in problem
    assert len(problem) < 500
    return spent


def filled(unit: str, before: str = "", after: str = "") -> str:
    return before + unit * ((4096 - len(before) - len(after)) // len(unit)) + after


REFUSED = {
    "range": "{{ (1..99999999999) | join: ',' }}",
    "range behind a condition": "{% if name == 'B' %}{% if (1..99999999999) contains 'x' %}!{% endif %}{% endif %}",
    "loop": "{% for i in (1..100000000000) %}x{% endfor %}",
    "loop with limit": "{% for i in (1..9) limit: 99999999999 offset: 99999999999 %}x{% endfor %}",
    "table": "{% tablerow i in (1..9999999999) %}x{% endtablerow %}",
    "cycle": "{% cycle 'a', 'b' %}",
    "50,000 times {{": "{{" * 50_000,
    "2,000 times {{": "{{" * 2_000,
    "50,000 times {%": "{%" * 50_000,
    "long": "a" * 4097,
    "brackets": "{{ " + "[" * 3000 + "'a'" + "]" * 3000 + " }}",
    "few brackets": "{{ name" + "[name" * 300 + "]" * 300 + " }}",
    "parentheses": "{{ " + "(" * 4000 + " }}",
    "blanks that are not closed": "{{" + " " * 4000,
    "nested conditions": "{% if name %}" * 100 + "{% endif %}" * 100,
    "long condition": "{% if " + " and ".join(["name"] * 60) + " %}x{% endif %}",
    "many conditions": filled("{%if niche contains city%}{%endif%}"),
    "many filters": filled("|upcase", "{{name", "}}"),
    "many braces": filled("{{name}}"),
    "huge number": "{{ " + "9" * 4000 + " }}",
    "sorting": "{{ name | split: '' | sort }}",
    "comments that are not closed": filled("{%comment%}"),
    "raw that is not closed": filled("{% raw %}{% endraw"),
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_bounded_is_not_offered(template: str) -> None:
    began = time.thread_time()
    found = problems(template, KNOWN)
    assert time.thread_time() - began < MOMENT
    assert len(found) == 1
    assert took(template) < MOMENT


COSTLY = {
    "contains": "{%if niche contains city%}{%endif%}" * 24,
    "split": "{{name|split:'a'}}" * 99,
    "split and join": "{%assign x=name|split:''|join:''%}" * 49,
    "split and size": "{{name|split:''|size}}" * 49,
    "replace": "{%assign x=niche|replace:'a','b'%}" * 99,
    "replace what is not there": "{{niche|replace:'" + "a" * 90 + "b',''}}" * 30,
    "url_encode": "{%assign x=phone|url_encode%}" * 100,
    "squish": "{%assign x=device|squish%}" * 100,
    "truncatewords": "{%assign x=name|truncatewords:999999999%}" * 90,
    "outputs": "{{device}}" * 200,
    "capture": "{%capture b%}{{name}}{{name}}{%endcapture%}" * 60,
    "capture itself": "{%capture b%}{{name}}{%endcapture%}" + "{%capture b%}{{b}}{{b}}{%endcapture%}" * 40,
    "assign itself": "{%assign b='aaaaaaaa'%}" + "{%assign b=b|append:b%}" * 90,
    "append and replace": "{%assign b='aaaa'%}" + "{%assign b=b|replace:'a',b%}" * 90,
    "many names": "".join(f"{{%assign a{n}=name%}}" for n in range(180)),
    "every value fits": "{%case name%}"
    + "{%when name,name,name,name,name,name%}{%case name%}" * 15
    + "{%endcase%}" * 16,
    "compare": "{%if name==name and name==name and name==name%}{%endif%}" * 50,
    "times": "{%assign x=99999999%}" + "{%assign x=x|times:x%}" * 50,
    "times a little": "{%assign x=1.000001%}" + "{%assign x=x|times:x%}" * 90,
    "exponents": "{{ number | plus: 1 }}{{ number | round }}{{ number | ceil }}{{ '1e999999' | floor }}",
    "decimals": "{{ 1.5 | round: 999999999 }}{{ 5 | round: -999999999 }}",
    "digits": "{{ digits | plus: 1 }}{{ digits | times: digits }}",
    "blanks": ("{{ name" + " " * 30 + "}}") * 97,
    "braces as they stand": filled("{name"),
    "blanks in braces": filled("{ "),
    "percent": filled("%a"),
    "quotes": "{{" + "\"'" * 2000 + "}}",
    "words": "{{" + "a-" * 2000 + "}}",
}


@pytest.mark.parametrize("template", COSTLY.values(), ids=COSTLY.keys())
def test_the_costliest_take_a_moment(template: str) -> None:
    assert took(template) < MOMENT


def test_a_block_of_a_case_is_rendered_once() -> None:
    template = "{% case city %}{% when 'Ipoh', city, city %}{% case city %}{% when city, city %}x{% endcase %}{% endcase %}"
    assert render(template, {"city": "Ipoh"}) == "x"


def test_numbers_stay_small() -> None:
    assert (
        render("{{ number | plus: 1 }} {{ 1.25 | round: 99999999 }} {{ '7' | times: 6 }}", HOSTILE)
        == "1 1.25 42"
    )
    with pytest.raises(TemplateProblem, match=r"'times' works on a number of more than 15 digits$"):
        render("{{ 999999999 | times: 999999999 }}", {})


def test_a_list_is_as_cheap_as_a_text() -> None:
    parts = "{% assign parts = name | split: ' ' %}"
    given = {"name": "Nur Aina Binti Ali"}
    assert render(
        parts + "{{ parts }}|{{ parts.size }}|{{ parts[1] }}|{{ parts.last }}|{{ parts | join: '-' }}", given
    ) == ("NurAinaBintiAli|4|Aina|Ali|Nur-Aina-Binti-Ali")
    assert render(
        parts + "{% if parts contains 'Aina' %}yes{% endif %}{{ parts | slice: 1, 2 | join }}", given
    ) == ("yesAina Binti")
    assert render("{{ name | split: ',' | first | default: 'none' }}", {}) == "none"


def hostile(seed: int) -> str:
    """A template of what is offered, as much of it as there is room for, in any order, not all of it well-formed."""
    rng = random.Random(seed)
    return "".join(_pieces(rng))[: rng.choice([4096, 4096, 500])]


def _pieces(rng: random.Random) -> Iterator[str]:
    values = [*HOSTILE, "x", "x", "'a'", "''", "' '", "999999999999999", "1.5", "-3", "x.size", "x[0]", "nil"]

    def expression() -> str:
        text = rng.choice(values)
        for _ in range(rng.choice([0, 1, 1, 2, 5])):
            arguments = ", ".join(rng.choice(values) for _ in range(rng.choice([0, 1, 1, 2])))
            text += f" | {rng.choice(sorted(FILTERS))}{': ' + arguments if arguments else ''}"
        return text

    size = 0
    while size < 4000:
        piece = rng.choice(
            [
                f"{{{{ {expression()} }}}}",
                f"{{% assign x = {expression()} %}}",
                f"{{% if {rng.choice(values)} {rng.choice(['contains', '==', '<', 'and', 'or'])} {rng.choice(values)} %}}y{{% endif %}}",
                f"{{% case {rng.choice(values)} %}}{{% when {', '.join(rng.choices(values, k=6))} %}}y{{% endcase %}}",
                f"{{% capture x %}}{{{{ x }}}}{{{{ {expression()} }}}}{{% endcapture %}}",
                *(
                    ["{% if name %}", "{{", "{% endif %}", "{ name }", "{% raw %}", "“", "'"]
                    if rng.random() < 0.02
                    else []
                ),
            ]
        )
        size += len(piece)
        yield piece


@settings(max_examples=150, deadline=None)
@given(st.integers(min_value=0))
def test_nothing_that_passes_takes_longer(seed: int) -> None:
    assert took(hostile(seed)) < MOMENT
