"""An application that cannot be compiled."""


def application(environ, start_response)
    return []
