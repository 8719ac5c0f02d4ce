"""Follows the other regions' change feeds, and brings this region's cache and store up to date with them."""
