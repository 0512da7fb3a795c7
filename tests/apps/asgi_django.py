"""Django over ASGI in one file: async and sync views, streaming, uploads, and a consumer of Channels."""

import asyncio

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

seen: list[str] = []
settings.configure(
    SECRET_KEY="only for tests", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    INSTALLED_APPS=["channels"], CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    LOGGING={"version": 1, "handlers": {"console": {"class": "logging.StreamHandler"}}, "loggers": {"django.request": {"handlers": ["console"]}}},
)


async def async_view(request):
    await asyncio.sleep(0.01)
    return HttpResponse(f"async {request.path} {request.META['REMOTE_ADDR']} {request.META['SERVER_PORT']}")


def sync_view(request):
    return HttpResponse("sync")


async def upload(request):
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "size": sum(map(len, file.chunks()))})


async def stream(request):
    async def lines():
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(lines(), content_type="text/plain")


async def long_poll(request):
    """Cancelled when the client goes (since Django 5)."""
    try:
        seen.append("waiting")
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        seen.append("cancelled")
        raise
    return HttpResponse("too late")


async def fails(request):
    raise RuntimeError("Django's own failure")


def happened(request):
    return JsonResponse(seen, safe=False)


urlpatterns = [
    path("async", async_view), path("sync", sync_view), path("upload", upload), path("stream", stream), path("long-poll", long_poll),
    path("fails", fails), path("seen", happened),
]
django.setup(set_prefix=False)

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402  (they need the settings)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402


class Echo(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("all", self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        seen.append(f"ws {code}")

    async def receive(self, text_data=None, bytes_data=None):
        await self.channel_layer.group_send("all", {"type": "said", "text": text_data})

    async def said(self, event):
        await self.send(text_data=event["text"])


class InThread(WebsocketConsumer):
    def receive(self, text_data=None, bytes_data=None):
        self.send(text_data=text_data.upper())


application = ProtocolTypeRouter({
    "http": get_asgi_application(),
    "websocket": URLRouter([path("ws", Echo.as_asgi()), path("ws-sync", InThread.as_asgi())]),
})
