"""The shop's one Django app."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "catalog"
