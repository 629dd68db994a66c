"""Boards and rules, written once as Python and committed as data.

``python -m dashboards.build`` writes ``generated/``; the agent ships that folder and fills its
placeholders, and never imports this package.
"""
