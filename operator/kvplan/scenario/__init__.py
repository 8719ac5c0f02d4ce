"""What happens when something breaks: a surge, a flush, a zone or region lost; played with and without protections."""
