"""Settings of the example. Environment: CHAT_SECRET_KEY, CHAT_DEBUG=1, CHAT_HOSTS."""

import os

SECRET_KEY = os.environ.get("CHAT_SECRET_KEY", "only-for-development-set-CHAT_SECRET_KEY-in-production")
DEBUG = os.environ.get("CHAT_DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("CHAT_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = ["channels", "rooms"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "chat.urls"
ASGI_APPLICATION = "chat.asgi.application"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
# One process: the groups are in its memory. Several workers need channels_redis.
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
USE_TZ = True
