"""Learners: how weights change."""
