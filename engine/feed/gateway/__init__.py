"""A loopback stand-in for the vendor's two services, for tests and demonstrations: history over HTTPS, live over TCP.

It is no market and no copy of the vendor's servers: it plays DBN files, says what the vendor's client needs to hear, and breaks
on demand. What it speaks was read off that client's own source and the vendor's public pages.
"""
