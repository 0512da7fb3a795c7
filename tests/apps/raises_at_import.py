"""An application that cannot be imported."""


def configure():
    raise RuntimeError("no database configured")


configure()
