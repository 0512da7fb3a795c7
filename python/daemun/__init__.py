"""Daemun: a web server with your Python application inside.

The server is the command line program `daemun`. What Python code may import from here is `daemun.simple_server`,
which stands in for the standard library's `wsgiref.simple_server`.
"""

from ._daemun import __version__

__all__ = ["__version__"]
