"""`/api/workers`: which worker nodes there are, on what they run, and what they do."""

from apiflask import APIBlueprint

from transcode import roll
from transcode.roll import Worker
from transcode.task import FARM
from webapp.api.schemas import WorkerList, WorkerOut
from webapp.deps import deps

blueprint = APIBlueprint("workers", __name__, tag="Workers", url_prefix="/api/workers")


@blueprint.get("")
@blueprint.output(WorkerList)
@blueprint.doc(responses={503: "The table does not answer"})
def list_workers() -> WorkerList:
    """List the worker nodes, those of the machine that joined last first.

    Each node tells of itself every 30 seconds. One that is `silent` was killed, froze or lost the network: its
    tasks are running again elsewhere within two minutes.
    """
    told = roll.read(deps().store.read_asides(FARM, roll.PAGES), deps().clock())
    workers = tuple(_shown(worker, deps().clock()) for worker in told)
    return WorkerList(workers=workers, count=len(workers))


def _shown(worker: Worker, now: float) -> WorkerOut:
    return WorkerOut(state=worker.state(now), **worker.model_dump(exclude={"ended"}))
