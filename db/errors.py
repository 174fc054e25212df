"""Errors of the database. The message of each is the one sentence a person reads: the cause, then the next step."""


class DatabaseError(Exception):
    """Base of every error of this package whose message is meant for people."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, is locked or full, or its schema is not the one this program needs."""


class DatabasePasses(DatabaseUnavailable):
    """An error that passes by itself: the same may go well in a moment. `doubtful`: the connection broke while it was
    committed, so that nobody can say whether it was. `writing`: something was to be written, which reading is not
    hindered by where the database is locked or full."""

    def __init__(self, sentence: str, *, doubtful: bool = False, writing: bool = True) -> None:
        self.doubtful, self.writing = doubtful, writing
        super().__init__(sentence)


class StaleToken(DatabaseError):
    """A worker acts on a stage that is no longer its own: requeued, cancelled or published meanwhile."""


class FinishedRun(DatabaseError):
    """A finished run refuses changes."""


class LiveRun(DatabaseError):
    """The action needs a finished run, and this one is still queued or running."""


class UnknownRun(DatabaseError):
    """No run has this id."""


class UnfitWord(DatabaseError):
    """A name, tag or note that cannot be kept as it is."""


class UnknownDraft(DatabaseError):
    """No draft has this id."""


class ChangedDraft(DatabaseError):
    """A draft was changed elsewhere since it was read."""


class UnknownAnnotator(DatabaseError):
    """No annotator has this name or version."""


class UnfitAnnotator(DatabaseError):
    """This annotator cannot be given this name."""


class UnknownRecipe(DatabaseError):
    """No recipe has this name."""


class TakenName(DatabaseError):
    """Something else has this name, or it is no name."""


class UnknownWorker(DatabaseError):
    """No worker has this id: it was never registered, or its row was removed."""


class IllegalTransition(DatabaseError):
    """A status may not follow another one."""


class UnfitView(DatabaseError):
    """This view of the list cannot be kept so."""


class UnfitVote(DatabaseError):
    """This vote, name of a voter, or set of votes cannot be taken."""


class UnknownSet(DatabaseError):
    """No set of labels has this name or version."""


class ChatEnded(DatabaseError):
    """A chat cannot be asked now."""


class UnknownPerson(DatabaseError):
    """Nobody of this name was here yet."""
