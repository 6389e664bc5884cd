"""Django: one Publisher for the process, which sync and async views share.

Run it with ``RABBITMQ_URL=… gunicorn --preload --workers 4 django_app:application``: made before the fork, the
publisher connects in each worker by itself, with the first message there.
"""

import asyncio

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path

from durable_ws import Publisher

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of an example", DEBUG=False)  # noqa: S106

publisher = Publisher(timeout=10)


def tick(request: HttpRequest, symbol: str) -> JsonResponse:
    """A sync view: returns once RabbitMQ has confirmed it."""
    receipt = publisher.publish({"symbol": symbol, "price": request.GET.get("price")}, routing_key=symbol)
    return JsonResponse({"message_id": receipt.message_id, "routed": receipt.routed})


async def tick_async(request: HttpRequest, symbol: str) -> JsonResponse:
    """An async view: the loop is free while the confirm is on its way.

    Under WSGI each call has a loop of its own, so an AsyncPublisher, which is bound to one, would not do.
    """
    payload = {"symbol": symbol, "price": request.GET.get("price")}
    receipt = await asyncio.wrap_future(publisher.submit(payload, routing_key=symbol))
    return JsonResponse({"message_id": receipt.message_id, "routed": receipt.routed})


urlpatterns = [path("ticks/<str:symbol>", tick), path("async-ticks/<str:symbol>", tick_async)]
application = get_wsgi_application()
