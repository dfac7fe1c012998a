"""The HTTP API, one file per resource; every address begins with ``/api/v1``."""
