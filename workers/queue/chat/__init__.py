"""Chats with the models of a run: who starts their processes, and what such a process does"""
