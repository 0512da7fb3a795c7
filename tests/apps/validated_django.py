"""The Django example inside the standard library's validator."""

from wsgiref.validate import validator

from django.core.wsgi import get_wsgi_application

application = validator(get_wsgi_application())
