"""Templates: what they put in, what they refuse, and how to mend it."""

import pytest

from messaging.leads.lead import Lead, TargetStatus
from messaging.texts.liquid import (
    LEAD_VARIABLES,
    TemplateProblem,
    lead_variables,
    problems,
    render,
    unguarded_variables_of,
    variables_of,
)
from messaging.texts.placeholders import placeholders

KNOWN = {*LEAD_VARIABLES, "city"}
TAGS = "if, unless, case, assign, capture, comment, raw"


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
        ("Hi {{ nmae }}", "unknown variable 'nmae'; did you mean 'name'?"),
        (
            "Hi {{ zzz }}",
            "unknown variable 'zzz'; known are name, phone, niche, trigger, target_status, device, city",
        ),
        ("Hi {{ name.first }}", "'name.first' is unknown: 'name' is a text and has no parts"),
        ("{% if nmae %}x{% endif %}", "unknown variable 'nmae'; did you mean 'name'?"),
        ("{{ name | default: nmae }}", "unknown variable 'nmae'; did you mean 'name'?"),
        ("{{ name | upcas }}", "unknown filter 'upcas'; did you mean 'upcase'?"),
        ("Hi {{ name", "the template does not work: expected '}}' after '{{ name', and it is not there"),
        ("Hi {{ name }", "the template does not work: expected '}}' after '{{ name }', and it is not there"),
        (
            "Hi {{ name\n{{ city }}",
            "the template does not work: expected '}}' after '{{ name', and it is not there (line 1 of the text)",
        ),
        ("Hi\n{% if %}", "the template does not work: missing expression (line 2 of the text)"),
        ("{% include 'x' %}", f"the template does not work: there is no tag 'include' in texts, only {TAGS}"),
        ("{% render 'x' %}", f"the template does not work: there is no tag 'render' in texts, only {TAGS}"),
        (
            "{% for x in name %}{% endfor %}",
            f"the template does not work: there is no tag 'for' in texts, only {TAGS}",
        ),
        ("{%name%}", f"the template does not work: there is no tag 'name' in texts, only {TAGS}"),
        ("{{ (1..9) | join }}", "the template does not work: a text has neither ranges nor brackets"),
        (
            "{% if name %}a{% else if city %}b{% endif %}",
            "the template does not work: another condition is written 'elsif'",
        ),
        ("{{ 1234567890123456 }}", "the template does not work: a number has at most 15 digits"),
        ("{{ name | truncate: 'a' }}", "the template does not work: truncate expected an integer, found str"),
    ],
)
def test_tells_what_is_wrong(template: str, problem: str) -> None:
    assert problems(template, KNOWN) == [problem]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ name | default: “there” }}", '“ is no quote in Liquid, write name | default: "there"'),
        ("{{ name | default: ‘there’ }}", "‘ is no quote in Liquid, write name | default: 'there'"),  # noqa: RUF001
        ("{{ name | default: „there“ }}", '„ is no quote in Liquid, write name | default: "there"'),
        ("{{ name | default: «there» }}", '« is no quote in Liquid, write name | default: "there"'),
        ("{% if name == “x” %}y{% endif %}", '“ is no quote in Liquid, write name == "x"'),
        ("{{ name ｜ default: 'x' }}", "'｜' (fullwidth vertical line) is not '|', write '|'"),  # noqa: RUF001
        ("{{ name | default： 'x' }}", "'：' (fullwidth colon) is not ':', write ':'"),  # noqa: RUF001
        ("{{{name}}}", "a variable has two braces on each side, write {{ name }}"),
        ('{{ name | default: "there }}', "a \" is not closed; a text with \" in it is put between ' and '"),
        ("{{ 'it's' }}", "a ' is not closed; a text with ' in it is put between \" and \""),
        (
            "{{ first name }}",
            "unexpected 'name', a name has no blanks (first_name), and a filter follows '|'",
        ),
        ("{{ name || upcase }}", "unexpected '||', a filter follows one '|'"),
        (
            "{{ name | default 'x' }}",
            "unexpected 'x', what a filter is given follows ':', e.g. default: 'there'",
        ),
        (
            "{% if name = 'x' %}y{% endif %}",
            "unexpected '=', values are compared with '==', and what a filter is given follows ':'",
        ),
        ("{{ }}", "expected a name or a value, found its end"),
    ],
)
def test_tells_how_to_mend_what_other_programs_write(template: str, problem: str) -> None:
    assert problems(template, KNOWN) == [f"the template does not work: {problem}"]
    with pytest.raises(TemplateProblem):
        render(template, {"name": "Aina"})


@pytest.mark.parametrize(
    "written",
    [
        *("{name}", "{Name}", "{ name }", "{ {name} }", "{ { name } }", "${name}", "#{name}", "｛｛name｝｝"),  # noqa: RUF001
        *("[[name]]", "[Name]", "<<name>>", "<name>", "%name%", "__name__", "{name}}"),
    ],
)
def test_a_variable_that_would_go_out_as_it_stands(written: str) -> None:
    assert problems(f"Hi {written}!", KNOWN) == [f"{written} would go out as it stands, write {{{{ name }}}}"]


def test_what_else_would_not_be_filled_in() -> None:
    assert problems("Hi {{1}}", KNOWN) == ["{{1}} would go out as 1, write the name of a variable"]
    assert problems("{{ name | default: there }}", KNOWN) == [
        "unknown variable 'there', a text is put in quotes: 'there'"
    ]
    assert [place.written for place in placeholders("{First Name} [[x]] 5% {% raw %}{y}{% endraw %}")] == [
        "{First Name}",
        "[[x]]",
    ]


def test_tells_everything_that_is_wrong() -> None:
    assert len(problems("{{ a1 }} {{ b2 }} {{ name | nope }}", KNOWN)) == 3


@pytest.mark.parametrize(
    "template",
    [
        "{{ name }} {{ city | upcase }}",
        "{% assign hello = 'Hi' %}{{ hello }} {{ name.size }}",
        "{% raw %}{{ anything }}{% endraw %}",
        "{% comment %}{{ anything }}{% endcomment %}",
        "{% case city %}{% when 'Ipoh', 'Taiping' %}Near{% else %}Far{% endcase %}",
        "{% capture hello %}Hi {{ name }}{% endcapture %}{{ hello }}",
        "{{ name | split: ' ' | first | capitalize | default: 'you' }} {{ niche | split: ', ' | join: ' and ' }}",
        "{{- name -}} {%- if city -%} y {%- endif %}",
        "{{\u00a0name\u00a0|\u00a0default:\u00a0'x'\u200b}}",
        "{% # a note %}{{ name }}",
        "100 % {sure} }",
        "{% raw %}{name}{% endraw %} [brand] 20% off, 30% more <3",
    ],
)
def test_accepts(template: str) -> None:
    assert problems(template, KNOWN) == []


def test_measures_what_it_made() -> None:
    assert render("{{ name }}", {"name": "a" * 4096}) == "a" * 4096
    with pytest.raises(TemplateProblem, match=r"^the text has 4,097 characters, WhatsApp takes 4,096$"):
        render("{{ name }}!", {"name": "a" * 4096})
    with pytest.raises(
        TemplateProblem, match=r"^the text has more than 4,096 characters, WhatsApp takes 1,024$"
    ):
        render("{{ name }}" * 5, {"name": "a" * 4096}, limit=1024)
    with pytest.raises(TemplateProblem, match=r"^'name' has 1,000,000 characters, a text can take in 4,096$"):
        render("{% if city %}{{ name | truncate: 5 }}{% endif %}", {"name": "a" * 1_000_000})
    assert render("{{ city }}", {"name": "a" * 1_000_000, "city": "Ipoh"}) == "Ipoh"
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
