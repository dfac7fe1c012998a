"""The command line: ``dualcontrol COMMAND``; each command's module is loaded when the command is called."""

from dualcontrol.cli.app import main

__all__ = ["main"]
