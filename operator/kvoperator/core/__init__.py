"""Decisions only: facts and `now` come in, decisions go out. No I/O, no clock, no asyncio, no logging."""
