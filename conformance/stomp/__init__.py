"""STOMP 1.2 as a pure codec: bytes in, frames out.

:mod:`~conformance.stomp.frames` is a frame and its bytes, :mod:`~conformance.stomp.parser` finds frames in a
stream, :mod:`~conformance.stomp.session` is a client's side of a conversation. No I/O, no clock, no threads.
Section names are those of https://stomp.github.io/stomp-specification-1.2.html.
"""
