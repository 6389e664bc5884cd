"""The checker: a history and a contract in, a verdict out; pure, linear, no I/O."""

from conformance.checker.checker import Checker, check
from conformance.checker.story import with_stories
from conformance.checker.verdict import Counts, StoryLine, Verdict, Violation

__all__ = ["Checker", "Counts", "StoryLine", "Verdict", "Violation", "check", "with_stories"]
