"""Accounts: who is let in, with which roles, how they prove it, and what their programs may show in their place."""

from dualcontrol.accounts.registry import Registry
from dualcontrol.accounts.sign_in import SignIns
from dualcontrol.accounts.tokens import Tokens

__all__ = ["Registry", "SignIns", "Tokens"]
