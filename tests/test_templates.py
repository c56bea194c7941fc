"""Templates: what they put in, what they refuse, and that none can hang a worker."""

import time

import pytest

from messaging.models import Lead, TargetStatus
from messaging.templates import (
    LEAD_VARIABLES,
    TemplateProblem,
    lead_variables,
    problems,
    render,
    unguarded_variables_of,
    variables_of,
)

KNOWN = {*LEAD_VARIABLES, "city"}


def test_puts_variables_in() -> None:
    assert render("Hi {{ name | default: 'Cik' }}!", {"name": "Aina"}) == "Hi Aina!"
    assert render("Hi {{ name | default: 'Cik' }}!", {"name": ""}) == "Hi Cik!"
    assert render("Hi {{ name | default: 'Cik' }}!", {}) == "Hi Cik!"
    assert render("{% if city == 'Ipoh' %}Near{% else %}Far{% endif %}", {"city": "Ipoh"}) == "Near"


def test_urls_and_line_breaks_arrive_as_written() -> None:
    text = "a\r\nb\n\nc\t https://example.com/?a=1&b=<2>&c='3' \"q\" 👋"
    assert render(text, {}) == text
    assert render("{{ name }}", {"name": text}) == text


@pytest.mark.parametrize("value", ["{{ phone }}", "{% if %}", "{{ 'x' | upcase }}"])
def test_values_are_data(value: str) -> None:
    assert render("Hi {{ name }}", {"name": value, "phone": "+12015550123"}) == f"Hi {value}"


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("Hi {{ nmae }}", "unknown variable 'nmae', did you mean 'name'?"),
        (
            "Hi {{ zzz }}",
            "unknown variable 'zzz', known are name, phone, niche, trigger, target_status, device, city",
        ),
        ("Hi {{ name.first }}", "'name.first' is unknown: 'name' is a text and has no parts"),
        ("{% if nmae %}x{% endif %}", "unknown variable 'nmae', did you mean 'name'?"),
        ("{{ name | default: nmae }}", "unknown variable 'nmae', did you mean 'name'?"),
        ("{{ name | upcas }}", "unknown filter 'upcas', did you mean 'upcase'?"),
        ("Hi {{ name", "the template does not work: expected '}}', found end of file"),
        ("Hi {{ name }", "the template does not work: expected '}}', found end of file"),
        ("Hi\n{% if %}", "the template does not work: missing expression (line 2 of the text)"),
        ("{% include 'x' %}", "the template does not work: unexpected tag 'include'"),
        ("{% render 'x' %}", "the template does not work: unexpected tag 'render'"),
        ("{{ name | truncate: 'a' }}", "the template does not work: truncate expected an integer, found str"),
    ],
)
def test_tells_what_is_wrong(template: str, problem: str) -> None:
    assert problems(template, KNOWN) == [problem]


def test_tells_everything_that_is_wrong() -> None:
    assert len(problems("{{ a1 }} {{ b2 }} {{ name | nope }}", KNOWN)) == 3


@pytest.mark.parametrize(
    "template",
    [
        "{{ name }} {{ city | upcase }}",
        "{% assign hello = 'Hi' %}{{ hello }} {{ name.size }}",
        "{% raw %}{{ anything }}{% endraw %}",
        "{% comment %}{{ anything }}{% endcomment %}",
        "{% for part in niche %}{{ part }}{{ forloop.index }}{% endfor %}",
        "{% for i in (1..100) %}{{ i }}{% endfor %}",
        "100 % {sure} }",
    ],
)
def test_accepts(template: str) -> None:
    assert problems(template, KNOWN) == []


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in (1..100000000000) %}x{% endfor %}",
        "{% for i in (1..101) %}{% endfor %}",
        "{% for i in (1..11) %}{% for j in (1..11) %}{% endfor %}{% endfor %}",
        "{{ (1..100000000000000000000) | join: ',' }}",
        "{{ (1..9000) | join: 'aaaaaaaaaa' }}",
        "{% assign a = 'aaaaaaaaaa' %}{% for i in (1..99) %}{% assign a = a | append: a %}{% endfor %}{{ a }}",
        "{% assign a = 99999999 %}{% for i in (1..99) %}{% assign a = a | times: a %}{% endfor %}{{ a }}",
        "{{ '" + "a" * 900 + "' | replace: 'a', '" + "a" * 900 + "' | replace: 'a', '" + "a" * 900 + "' }}",
        "{{ " + "[" * 3000 + "'a'" + "]" * 3000 + " }}",
        "{% if name %}" * 500 + "{% endif %}" * 500,
    ],
)
def test_no_template_can_hang_a_worker(template: str) -> None:
    began = time.monotonic()
    with pytest.raises(TemplateProblem) as raised:
        render(template, {"name": "Aina"})
    assert time.monotonic() - began < 2
    assert "\n" not in str(raised.value)


def test_measures_what_it_made() -> None:
    assert render("{{ name }}", {"name": "a" * 4096}) == "a" * 4096
    with pytest.raises(TemplateProblem, match=r"^the text has 4,097 characters, WhatsApp takes 4,096$"):
        render("{{ name }}", {"name": "a" * 4097})
    with pytest.raises(TemplateProblem, match=r"^the text has 1,025 characters, WhatsApp takes 1,024$"):
        render("{{ name }}", {"name": "a" * 1025}, limit=1024)


def test_knows_its_variables() -> None:
    template = "{% assign x = city %}{{ name | default: phone }} {{ x }} {% if niche %}{{ niche }}{% endif %}"
    assert variables_of(template) == {"city", "name", "phone", "niche"}


@pytest.mark.parametrize(
    ("template", "unguarded"),
    [
        ("{{ name }}", {"name"}),
        ("{{ name | upcase }}", {"name"}),
        ("{{ name | default: 'Cik' }}", set()),
        ("{{ name | strip | default: 'Cik' }}", set()),
        ("{% if name %}{{ name }}{% endif %}", set()),
        ("{% assign n = name | default: 'x' %}{{ n }}", set()),
        ("{% if city %}{{ name }}{% endif %}", {"name"}),
        ("{% echo name %}", {"name"}),
    ],
)
def test_knows_which_may_leave_a_blank(template: str, unguarded: set[str]) -> None:
    assert unguarded_variables_of(template) == unguarded


def test_what_a_lead_brings() -> None:
    lead = Lead(
        phone="+12015550123",
        name="Aina",
        niches=("VITAC", "FITNESS"),
        triggers=("COLDVITAC",),
        target_status=TargetStatus.PROSPECT,
        device_id="main",
        attributes={"city": "Ipoh", "phone": "not this one"},
    )
    variables = lead_variables(lead)
    assert (
        variables
        | {
            "name": "Aina",
            "phone": "+12015550123",
            "niche": "VITAC, FITNESS",
            "trigger": "COLDVITAC",
            "target_status": "prospect",
            "device": "main",
            "city": "Ipoh",
        }
        == variables
    )
    assert set(LEAD_VARIABLES) <= lead_variables(Lead(phone="+12015550123")).keys()
