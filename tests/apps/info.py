"""Answers with what the application can see of its process and its request."""

import json
import os
import sys
import threading

IMPORTED_IN = os.getpid()
UMASK = os.umask(0)
os.umask(UMASK)


def application(environ, start_response):
    wsgi = {key: value for key, value in environ.items() if key.startswith("wsgi.") and isinstance(value, (bool, str, tuple))}
    body = json.dumps(
        {
            "pid": os.getpid(),
            "ppid": os.getppid(),
            "imported_in": IMPORTED_IN,
            "cwd": os.getcwd(),
            "path": sys.path,
            "env": dict(os.environ),
            "umask": UMASK,
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "groups": os.getgroups(),
            "thread": threading.current_thread().name,
            "main_thread": threading.current_thread() is threading.main_thread(),
            "executable": sys.executable,
            "prefix": sys.prefix,
            "argv": sys.argv,
            "sid": os.getsid(0),
            "environ": {key: value for key, value in environ.items() if isinstance(value, str)},
            "types": {key: type(value).__name__ for key, value in environ.items()},
            "wsgi": wsgi,
        }
    ).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
