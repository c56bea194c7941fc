"""Compiles filters to one SQL condition with parameters.

Conditions on an enrollment (sequence, state, step, due) that are joined with ``and`` are about the same enrollment.
Where a command acts on leads, ``sequence = intro and state = paused`` finds leads with a paused enrollment in intro, and
``sequence != intro`` those with no enrollment in intro. Where it acts on contacts, they are about the contact that it
acts on.
"""

from messaging.selection.fields import Arguments, compile_condition, field_of
from messaging.selection.syntax import AllOf, AnyOf, Condition, Filter, Not, conditions

__all__ = ["condition_on_contacts", "condition_on_leads"]

# Of one lead.
ANY_ENROLLMENT = """exists (select from sequence_contacts c
                          join sequences s on s.id = c.sequence_id
                          left join sequence_steps t on t.id = c.next_step_id
                         where c.phone = l.phone and {})"""


def condition_on_contacts(filter_: Filter, arguments: Arguments) -> str:
    """The condition on a contact c of the sequence s, with the next step t, and on its lead l. Raises FilterError."""
    match filter_:
        case Condition():
            return compile_condition(filter_, arguments)
        case Not(part):
            return f"not {condition_on_contacts(part, arguments)}"
        case AllOf(parts):
            return _joined("and", [condition_on_contacts(part, arguments) for part in parts])
        case AnyOf(parts):
            return _joined("or", [condition_on_contacts(part, arguments) for part in parts])


def condition_on_leads(filter_: Filter, arguments: Arguments) -> str:
    """The condition on a lead l. Raises FilterError."""
    if _of_enrollments(filter_):
        return _any_enrollment(filter_, arguments)
    match filter_:
        case Condition():
            return compile_condition(filter_, arguments)
        case Not(part):
            return f"not {condition_on_leads(part, arguments)}"
        case AllOf(parts):
            together = tuple(part for part in parts if _of_enrollments(part))
            others = [condition_on_leads(part, arguments) for part in parts if part not in together]
            if together:
                others.append(_any_enrollment(AllOf(together), arguments))
            return _joined("and", others)
        case AnyOf(parts):
            return _joined("or", [condition_on_leads(part, arguments) for part in parts])


def _any_enrollment(filter_: Filter, arguments: Arguments) -> str:
    """That one enrollment of the lead is as the filter says; for a negation, that none is."""
    match filter_:
        case Condition(operator="empty", negated=False) if _negates(filter_):
            return f"not {ANY_ENROLLMENT.format('true')}"
        case Condition(field, operator, values, negated=True):
            return f"not {_any_enrollment(Condition(field, operator, values), arguments)}"
        case Not(part):
            return f"not {_any_enrollment(part, arguments)}"
        case AnyOf(parts):
            return _joined("or", [_any_enrollment(part, arguments) for part in parts])
        case AllOf(parts) if all(_negates(part) for part in parts):
            return _joined("and", [_any_enrollment(part, arguments) for part in parts])
    return ANY_ENROLLMENT.format(condition_on_contacts(filter_, arguments))


def _of_enrollments(filter_: Filter) -> bool:
    """True if every condition is about an enrollment."""
    return all(field_of(one.field).of_contact for one in conditions(filter_))


def _negates(filter_: Filter) -> bool:
    """True if it says that there is no such enrollment; ``sequence is empty`` says that there is none at all."""
    if isinstance(filter_, Condition):
        none_at_all = filter_.operator == "empty" and field_of(filter_.field).name == "sequence"
        return filter_.negated is not none_at_all
    return isinstance(filter_, Not)


def _joined(word: str, parts: list[str]) -> str:
    return f"({f' {word} '.join(parts)})" if len(parts) > 1 else parts[0]
