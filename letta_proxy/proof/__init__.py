"""Proves from outside that nobody reaches what is not theirs.

Two users (and a member of the staff) get one of everything through the gateway. Then every offered
operation is tried with every id of the owner's in every place where an id can stand. The list of
what to try comes from the catalogue, so an operation can't be forgotten; one that can't be tried,
or that takes an id without a declared owner rule, fails the proof too.
"""
