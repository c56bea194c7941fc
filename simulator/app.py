"""The gateway's endpoints."""

from collections.abc import Collection

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from simulator import control, inbox, messages, people
from simulator.answers import error
from simulator.gateway import Gateway
from simulator.guard import Guard

__all__ = ["create_app"]


async def _unknown(request: Request, problem: Exception) -> Response:
    del problem
    return error(404, "unknown_path", f"There is no {request.method} {request.url.path} here.")


async def _wrong_method(request: Request, problem: Exception) -> Response:
    del problem
    return error(405, "wrong_method", f"{request.url.path} does not take {request.method}.")


def create_app(gateway: Gateway, *, names: Collection[str] = (), network: bool = False) -> Starlette:
    """The ASGI application of one gateway. ``names``, ``network``: see :class:`simulator.guard.Guard`."""
    app = Starlette(
        routes=[
            Route("/v1/messages", messages.send, methods=["POST"]),
            Route("/v1/messages", messages.look_up, methods=["GET"]),
            Route("/v1/capabilities", messages.capabilities, methods=["GET"]),
            Route("/v1/faults", control.get_faults, methods=["GET"]),
            Route("/v1/faults", control.put_faults, methods=["PUT"]),
            Route("/v1/faults", control.add_fault, methods=["POST"]),
            Route("/v1/faults", control.clear_faults, methods=["DELETE"]),
            Route("/v1/faults/{number:int}", control.remove_fault, methods=["DELETE"]),
            Route("/v1/settings", control.get_settings, methods=["GET"]),
            Route("/v1/settings", control.put_settings, methods=["PUT"]),
            Route("/v1/webhook", people.get_webhook, methods=["GET"]),
            Route("/v1/webhook", people.put_webhook, methods=["PUT"]),
            Route("/v1/webhook", people.delete_webhook, methods=["DELETE"]),
            Route("/v1/inbound", people.write, methods=["POST"]),
            Route("/v1/inbound", control.written, methods=["GET"]),
            Route("/v1/log", control.log, methods=["GET"]),
            Route("/v1/accepted", control.accepted, methods=["GET"]),
            Route("/v1/stats", control.stats, methods=["GET"]),
            Route("/health", control.health, methods=["GET"]),
            Route("/", inbox.phones, methods=["GET"]),
            Route("/phones", inbox.open_chat, methods=["GET"]),
            Route("/phones/{phone}", inbox.chat, methods=["GET"]),
            Route("/assets/{name}", inbox.asset, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, names=names, network=network)],
        exception_handlers={404: _unknown, 405: _wrong_method},
    )
    app.state.gateway = gateway
    return app
