"""Publishers under faults, and whether all that they told is true: ``python -m benchmarks.soak_publishers``.

::

    __main__    the command line
    run         the soak: rounds of calls under faults, each settled at its end
    plan        which faults when, drawn by a seed                                      (pure)
    acts        the faults themselves, and what was seen of them
    cutting     cuts after the n-th byte of a connection; ``walk`` says after which     (walk: pure)
    child       a program under soak, seen from outside
    program     one publisher with many callers, in a process of its own
    callers_…   the callers: threads or tasks; ``calls`` says what they call            (calls: pure)
    telling     how a program tells the soak what happens; ``records``: the lines
    fates       what a caller was told, in the words of the records                     (pure)
    judge       the books, and what is wrong in them; ``leaks`` the same of what is left (pure)
    bodies      bodies that tell which message they are                                 (pure)
    queues      what the soak does to its queues over a straight connection
    outcome     what it all came to; ``seen``: what publishers saw of the faults
    report      the table at the end                                                    (pure)
"""
