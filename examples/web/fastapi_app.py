"""FastAPI: one AsyncPublisher for the application's loop, opened and closed with it.

Run it with ``RABBITMQ_URL=… uvicorn fastapi_app:app --workers 4``: each worker has a loop, and a publisher, of its own.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from durable_ws import AsyncPublisher, PublishError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Wait at the end for what is under way."""
    async with AsyncPublisher(timeout=10) as app.state.publisher:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/ticks/{symbol}")
async def tick(symbol: str, price: float, request: Request) -> dict[str, object]:
    """Answer once RabbitMQ has confirmed it.

    A request goes on though its client has hung up. What cancels it, ``asyncio.timeout`` for one, cancels its publish,
    and no other one.
    """
    publisher: AsyncPublisher = request.app.state.publisher
    receipt = await publisher.publish({"symbol": symbol, "price": price}, routing_key=symbol)
    return {"message_id": receipt.message_id, "routed": receipt.routed}


@app.exception_handler(PublishError)
async def not_promised(_request: Request, error: PublishError) -> JSONResponse:
    """Say what is known: NotSent may be tried again, OutcomeUnknown may be there already."""
    return JSONResponse({"error": type(error).__name__, "message_id": error.message_id}, status_code=503)
