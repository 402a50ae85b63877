"""The admin as a whole: its pages, put under `/admin` of an application."""

from apiflask import APIFlask
from flask import Blueprint

from transcode.settings import Settings
from webapp.admin import (
    add,
    dashboard,
    dead_letters,
    door,
    problem,
    queue,
    sign_in,
    skin,
    task,
    tasks,
    upload,
    words,
    workers,
)

PAGES = (dashboard, tasks, task, queue, dead_letters, add, upload, workers, sign_in, problem)


def install(app: APIFlask, settings: Settings) -> None:
    """Put the admin under `/admin` of `app`."""
    blueprint = Blueprint("admin", __name__, url_prefix="/admin")
    for page in PAGES:
        blueprint.register_blueprint(page.blueprint)
    door.install(app, blueprint, settings)
    skin.install(blueprint)
    words.install(app)
    problem.install(blueprint)
    app.register_blueprint(blueprint)
    sign_in.brake(app)
