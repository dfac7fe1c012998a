"""People measured: what the human step catches and lets pass, from probes whose right answer is known.

Mathematics alone: counts in, limits and alarms out.  Nothing here reads a case, a clock or the ledger.
"""
