"""A workload made ready for many runs on its test images, each judged against fake quant.

The reference is the mixed graph in the simulator, which makes the codes of the fake-quant model in float64 (`verify`).
"""

from dataclasses import dataclass

import workloads
from hwsim.graph import Graph
from hwsim.lower.ranges import Ranges, measure
from hwsim.op import Array
from hwsim.record import Record
from hwsim.simulator import Execute, as_codes, run_node, simulate
from hwsim.study.accumulators import Range, Seen
from qmodels import data, evidence
from qmodels.comparison import LogitSums, Predictions
from qmodels.evidence import Subject
from qmodels.tracing import INPUT
from workloads.workload import Workload

CALIBRATION_IMAGES = 64
CHUNK = 24
"""Images per task: of digits, which are small, more than usual."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """A workload's graphs, test images (N, C, H, W) and labels (N,); what the mixed form gives for them: logits (N, classes)
    and the range of every product's sums; and the ranges that calibration images have."""

    subject: Subject
    images: Array
    labels: Array
    ranges: Ranges
    logits: Array
    sums: dict[str, Range]
    threads: int | None

    @property
    def workload(self) -> Workload:
        """What it is of."""
        found: Workload = self.subject.workload
        return found

    @property
    def mixed(self) -> Graph:
        """The mixed form."""
        graph: Graph = self.subject.mixed
        return graph

    def judge(self, graph: Graph, execute: Execute = run_node) -> Predictions:
        """What `graph`, each node run by `execute`, says about the test images."""
        return self.judged(_logits(graph, self.images, execute, self.threads))

    def judged(self, logits: Array) -> Predictions:
        """What these logits say."""
        sums = LogitSums()
        sums.add(logits, self.logits, self.labels)
        return sums.result()

    def point(self, study: str, found: Predictions, form: str, **tags: object) -> list[Record]:
        """The records of one point of a study; `tags` say which."""
        bits = self.workload.bits
        all_tags = {"wbits": bits.weights, "abits": bits.activations, "study": study, "form": form, **tags}
        said = tuple((key, str(value)) for key, value in all_tags.items())
        exact = self.judged(self.logits)
        values = {
            "accuracy": (found.accuracy, "fraction"),
            "accuracy_drop": (100 * (exact.accuracy - found.accuracy), "point"),
            "agreement": (found.agreement, "fraction"),
            "kl_divergence": (found.kl, "nat"),
        }
        name = self.workload.name
        return [
            Record(name, f"study_{metric}", value, unit, source="measured", tags=said)
            for metric, (value, unit) in values.items()
        ]


def ready(name: str, limit: int | None, threads: int | None) -> Ready:
    """Make the workload `name` ready."""
    workload = workloads.find(name)
    subject = evidence.subject_of(workload)
    images, labels = data.load(workload, "test", limit=limit)
    calibration, _ = data.load(workload, "train", limit=CALIBRATION_IMAGES)
    ranges = measure(subject.mixed, {INPUT: calibration.numpy()}, threads=threads)
    watch = Seen()
    logits = _logits(subject.mixed, images.numpy(), watch, threads)
    return Ready(subject, images.numpy(), labels.numpy(), ranges, logits, watch.ranges, threads)


def _logits(graph: Graph, images: Array, execute: Execute, threads: int | None) -> Array:
    """The logits (N, classes) of `graph`, as reals."""
    (output,) = graph.outputs
    feeds = as_codes(graph, {INPUT: images})
    value = simulate(graph, feeds, threads=threads, chunk=CHUNK, execute=execute)[output]
    quant = graph.specs[output].quant
    return value if quant is None else quant.to_real(value)
