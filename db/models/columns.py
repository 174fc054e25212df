"""Columns that many tables have."""

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column


def stage(*, primary: bool = False) -> Mapped[int]:
    return mapped_column(ForeignKey("stages.id", ondelete="CASCADE"), primary_key=primary)


def attempt(*, primary: bool = False) -> Mapped[int]:
    return mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"), primary_key=primary)
