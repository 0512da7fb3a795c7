"""One visitor of a room, and what is said there."""

from collections import Counter
from contextlib import suppress

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.utils import timezone

LONGEST = 1000
visitors = Counter()  # of this process


class RoomConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        self.group = f"room.{self.scope['url_route']['kwargs']['name']}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        visitors[self.group] += 1
        await self.tell_count()

    async def disconnect(self, code):
        if hasattr(self, "group"):
            visitors[self.group] -= 1
            await self.channel_layer.group_discard(self.group, self.channel_name)
            await self.tell_count()

    async def receive_json(self, content):
        if not isinstance(content, dict):
            return
        text, who = str(content.get("text", "")).strip()[:LONGEST], str(content.get("who", "")).strip()[:40] or "somebody"
        if text:
            time = timezone.now().isoformat(timespec="seconds")
            await self.channel_layer.group_send(self.group, {"type": "said", "who": who, "text": text, "time": time})

    async def send_json(self, content, close=False):
        # Who has just left cannot be told (ASGI 2.4 has `send` raise then): no failure, and `disconnect` is called next.
        with suppress(OSError):
            await super().send_json(content, close)

    async def tell_count(self):
        await self.channel_layer.group_send(self.group, {"type": "counted", "visitors": visitors[self.group]})

    # What the group is sent.

    async def said(self, event):
        await self.send_json({"kind": "message", "who": event["who"], "text": event["text"], "time": event["time"]})

    async def counted(self, event):
        await self.send_json({"kind": "visitors", "number": event["visitors"]})
