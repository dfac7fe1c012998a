"""People measured: which probe is asked of whom, what the answers say of people, and what follows for them."""
