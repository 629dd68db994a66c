"""A seeded, invented node that obeys the physics of a real one.

Everything is a pure function of the seed and of simulated time, so any instant can be asked for in
any order, by any number of processes. From the bottom up: ``chance`` (repeatable chance),
``models`` (cards), ``segments`` and ``loads`` (what a card does in an hour), ``course`` (power,
energy, tokens, temperature at an instant), ``faults``, ``node`` (cards and faults together),
``source`` (the door for the agent), ``vllm_page`` and ``vllm_server`` (where tokens are told).
"""
