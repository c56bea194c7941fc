"""The base of the values that travel between services, workflows and activities."""

from pydantic import BaseModel, ConfigDict

__all__ = []


class Value(BaseModel):
    """An immutable value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
