"""The base class of values that services, workflows and activities exchange."""

from pydantic import BaseModel, ConfigDict

__all__ = []


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
