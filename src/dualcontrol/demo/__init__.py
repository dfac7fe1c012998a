"""The demos: digits, tidy, pairs and fallback, one loop for each mode, and the headless run of the digits."""
