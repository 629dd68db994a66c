"""gpufin, a GPU telemetry and FinOps agent.

The flow, one package a step::

    devices -> samples -> usage -> cost -> ledger -> view -> export

``devices`` and ``export`` touch the world, as do ``config``, ``storage``, ``render`` and ``runtime``;
``samples``, ``usage``, ``cost`` and ``ledger`` are values and functions.
``app`` wires the parts, ``cli`` starts them.
"""

__version__ = "0.1.0"
