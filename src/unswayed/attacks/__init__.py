"""Adaptive attackers: does a behaviour hold against somebody who tries, within a stated budget?"""
