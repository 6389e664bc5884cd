"""Errors that signal handlers raise, which may strike a thread amid any call, Ctrl-C for one."""

from __future__ import annotations

__all__ = ["is_of_the_call"]


def is_of_the_call(error: BaseException) -> bool:
    """Whether an error that was caught right where a builtin is called is of that call.

    Else it comes out of a signal handler that was run amid it, which may raise such an error as well.
    """
    return error.__traceback__ is None or error.__traceback__.tb_next is None
