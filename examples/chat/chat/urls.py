"""Which path is which page, and which is which socket."""

from django.urls import path
from rooms import views
from rooms.consumers import RoomConsumer

urlpatterns = [
    path("", views.index, name="index"),
    path("rooms/<slug:name>/", views.room, name="room"),
]
websocket_urlpatterns = [
    path("rooms/<slug:name>/socket", RoomConsumer.as_asgi()),
]
