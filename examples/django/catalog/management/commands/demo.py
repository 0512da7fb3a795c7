"""`manage.py demo`: a few products and the user `admin` with the password `admin`. Safe to run again."""

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand

from catalog.models import Product

PRODUCTS = [
    ("dovetail-saw", "Dovetail saw", "48.00", "Fine teeth, a thin plate and a beech handle: for joints that close without filler."),
    ("marking-gauge", "Marking gauge", "36.50", "A brass wheel that cuts the line instead of scratching it."),
    ("block-plane", "Block plane", "89.00", "Low angle, adjustable mouth. It fits in an apron pocket."),
    ("bench-chisel", "Bench chisel, 18 mm", "27.90", "Bevelled edges and a hornbeam handle."),
    ("try-square", "Try square", "31.00", "Steel blade in a rosewood stock, true to a hair."),
    ("spokeshave", "Spokeshave", "54.00", "For chair legs, tool handles and anything else that is round by intention."),
]


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args, **options):
        for slug, name, price, description in PRODUCTS:
            Product.objects.get_or_create(
                slug=slug, defaults={"name": name, "price": price, "description": description}
            )
        users = get_user_model()
        if not users.objects.filter(username="admin").exists():
            users.objects.create_superuser("admin", "admin@example.org", "admin")
        self.stdout.write(f"{Product.objects.count()} products")
