"""How many small faults in the package its tests notice.

``python -m benchmarks.planted_faults --seed N`` draws faults (:mod:`.faults`) over the rooms of
:mod:`.rooms`, plants them one at a time in a private copy of the checkout, and runs the room's unit
tests against each (:mod:`.notice`), those first that touch the module (:mod:`.touching`). Whatever
no test notices is either written down as equivalent in ``equivalent.json``, with the reason, or
missed.
"""
