"""`/api/health`: alive, and ready. Open to anybody: load balancers and monitors have no key."""

from apiflask import APIBlueprint

from transcode.clock import timestamp
from webapp.api.schemas import HealthOut, HealthQuery
from webapp.deps import deps
from webapp.errors import Problem, Refused
from webapp.readiness import KEPT, OK

blueprint = APIBlueprint("health", __name__, tag="Health", url_prefix="/api/health")


@blueprint.get("")
@blueprint.input(HealthQuery, location="query")
@blueprint.output(HealthOut, description="Alive.")
def get_health(query_data: HealthQuery) -> HealthOut:
    """Tell whether the API lives and its dependencies answer.

    Answers 200 while the process lives, also when a dependency is down: a monitor that restarts the API
    would not bring the dependency back. With `?ready=1` it answers 503 then, which is what a load balancer
    wants to know.
    """
    found = deps().readiness.look()
    ready = all(state == OK for state in found.values())
    if query_data.ready and not ready:
        raise Refused(_not_ready(found))
    return HealthOut(status="ok", timestamp=timestamp(deps().clock()), ready=ready, dependencies=found)


def _not_ready(found: dict[str, str]) -> Problem:
    wrong = " ".join(f"{name}: {state}" for name, state in found.items() if state != OK)
    headers = {"Retry-After": f"{KEPT:.0f}"}
    return Problem(503, "not_ready", f"Not ready. {wrong}", headers=headers, extra={"dependencies": found})
