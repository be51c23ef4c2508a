"""How many small faults in the package its tests notice.

``python -m benchmarks.planted_faults --seed N`` draws faults (:mod:`.faults`) over the rooms of
:mod:`.rooms`, plants them one at a time in a private copy of the checkout, and runs the room's
tests against each (:mod:`.notice`): its unit tests, those first that touch the module
(:mod:`.touching`), then those that run its code among much else. Whatever no test notices is either
written down as equivalent in ``equivalent.json``, with the reason, or missed.
"""
