"""The ASGI application: `daemun chat.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chat.settings")
django = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402  (they need Django set up)
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402

from chat.urls import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter({
    "http": django,
    "websocket": AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns)),
})
