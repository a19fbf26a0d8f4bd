"""Compiled code that any geometry needs: rows of numbers, linear systems, curves on the record, the rules of a Newton step."""
