"""System: is the machine well?"""

import streamlit as st

from app.components.frame import layout, tables
from app.components.frame.export import show_tables
from app.components.system.deleted import show_deleted
from app.components.system.leftovers import show_leftovers
from app.components.system.machine import show_active, show_disk, show_ended, show_queue, show_services, show_workers
from app.components.system.messages import show_messages
from app.components.system.people import show_people
from app.components.system.queue_panel import show_queue_panel
from app.reads import results
from db import queries

REFRESH = "5s"


def page() -> None:
    layout.heading("System", "workers, queue, services and disk of this installation")
    layout.fragment(_live, run_every=REFRESH)()
    show_deleted()
    show_people()


def _live() -> None:
    """Everything is read again every few seconds; each part fails alone."""
    with layout.guarded():
        show_services()
    files: list[tables.Drawn] = []
    with layout.guarded():
        with results.reading() as session:
            queue, workers = queries.queue_health(session), queries.workers(session)
            active = queries.active_stages(session)
            badly = queue.lost_last_day or queue.stages.get("failed")
            ended = queries.ended_lately(session) if badly else []
        show_queue(queue, workers)
        show_queue_panel(files)
        left, right = st.columns([3, 2], gap="medium")
        with left:
            show_workers(workers, files)
            show_active(active, files)
            show_ended(ended, files)
        with right:
            show_disk(queue.artifacts, files)
            show_leftovers(files)
            show_messages()
        show_tables(files, key="export_system")


page()
