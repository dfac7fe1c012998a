"""Charts as SVG, drawn on the server: pure functions from numbers to markup, coloured by the page's own classes."""
