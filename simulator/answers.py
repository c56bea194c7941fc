"""JSON answers."""

from pydantic import ValidationError
from starlette.responses import JSONResponse

__all__ = ["error", "first_problem"]


def error(status: int, code: str, message: str) -> JSONResponse:
    """An error in the form that all endpoints use."""
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def first_problem(invalid: ValidationError) -> str:
    """The first problem in one line: where, and what."""
    problem = invalid.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']}" if where else problem["msg"]
