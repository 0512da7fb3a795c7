"""The page to choose a room, and the room."""

from django.shortcuts import redirect, render
from django.utils.text import slugify

ROOMS = ["workshop", "garden", "kitchen"]


def index(request):
    if name := slugify(request.GET.get("name", "")):
        return redirect("room", name=name)
    return render(request, "rooms/index.html", {"rooms": ROOMS})


def room(request, name):
    return render(request, "rooms/room.html", {"name": name})
