"""Daemun: a web server with your Python application inside.

The server is the command line program `daemun`. Python code may call `daemun.run`, which stands in for `uvicorn.run`,
and import `daemun.simple_server`, which stands in for the standard library's `wsgiref.simple_server`.
"""

from ._daemun import ClientDisconnected, __version__

__all__ = ["ClientDisconnected", "__version__", "run"]


def run(app: object, **settings: object) -> None:
    """Serve `app`, an application or its name as `"module:name"`, until the server is told to end.

    `settings` are settings of Daemun by their names, or by Uvicorn's: `daemun.run("main:app", port=8000, workers=4)`.
    They are in docs/reference/settings.md. To be called from the main thread, under `if __name__ == "__main__"`.
    When the server cannot start, SystemExit is raised with its exit code.
    """
    from ._run import run as start

    start(app, settings)
