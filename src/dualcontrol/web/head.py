"""HEAD on whatever GET answers: the same status and headers, and no body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """Asks the app as GET would and keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything but HEAD passes as it is."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        over = False

        async def bare(message: Message) -> None:
            nonlocal over
            if message["type"] != "http.response.body":
                await send(message)
            elif not over:
                over = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.app(_asking(scope), receive, bare)


def _asking(scope: Scope) -> Scope:
    """The request as GET: never a stream, which would not end, and never the entry token, which works once."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"accept" or b"event-stream" not in value]
    query = b"" if b"token=" in scope["query_string"] else scope["query_string"]
    return {**scope, "method": "GET", "headers": headers, "query_string": query}
