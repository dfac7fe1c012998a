"""Replay: what a threshold, a promise or today's rules would have done to cases of the past, or to rows of a file."""
