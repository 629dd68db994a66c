"""Boards and rules as data, their placeholders filled from the fleet file.

Each module has one ``render``: plain values in, file name to text out.
Nothing is written here, and no metric is named here.
"""
