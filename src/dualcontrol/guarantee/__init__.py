"""Certification: what people answered is counted as evidence, in the order of decisions, and moves the threshold.

The loop's own stream is the record: `EvidenceCounted` holds every label that a certificate took, so that folding the
stream gives the same certificate again, bit for bit, on any replica and after any restart.
"""
