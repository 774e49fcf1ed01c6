"""What the live threshold is sent is what the engine says, and what the plain slider shows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from medprune import Candidate, load_cohort, performance, prune, score, sweep, train
from medprune.candidate import features_needed
from medprune.network import MLP
from medprune.ranking import USUAL_SCOPE, normalise
from medprune.removal import Cut, alive_groups, mask_of
from medprune.training import prepare
from pages.components.live.payload import MOST_EDGES, TILES, payload, text_of
from pages.shared import guide
from tests.makers import patient_table
from tests.pages.test_pages import go, healthy, texts, trained, with_sample

VIEW = {
    "index": 3,
    "metric": "auroc",
    "scale": "linear",
    "tolerance": 0.02,
    "klass": 0,
    "risk": 49,
    "ratio": 1.0,
}
GRID = np.unique(np.concatenate([[0.0], np.geomspace(1e-3, 1.0, 12)]))


class Sent:
    """A payload, and what it was made from."""

    def __init__(self, classes: int, granularity: str, sample: int | None = None) -> None:
        self.cohort = load_cohort(patient_table(200, classes=classes), outcome="stage")
        self.model = train(self.cohort, MLP(hidden=(6, 4)))
        scores = score(self.model, self.cohort.train)
        self.sweep = sweep(
            self.model,
            self.cohort.tuning,
            scores,
            GRID,
            granularity=granularity,
            train=self.cohort.train,
            sample=sample,
        )
        reference = prepare(self.model.preparation, self.cohort.train)
        self.cut = Cut.of(self.model, scores, granularity, USUAL_SCOPE, reference.columns)
        self.path = prune(self.model, self.cohort, granularity=granularity)
        groups = normalise(scores.scores(granularity), alive_groups(self.model, granularity), USUAL_SCOPE)
        self.json = json.loads(
            json.dumps(
                payload(
                    self.model,
                    self.sweep,
                    scores,
                    groups,
                    finished=self.path.candidates,
                    outcome=self.cohort.tuning.outcome,
                    view=VIEW,
                ),
                allow_nan=False,
            )
        )


@pytest.fixture(
    scope="module", params=[(2, "weight"), (2, "neuron"), (4, "feature")], ids=lambda p: f"{p[0]}-{p[1]}"
)
def sent(request: pytest.FixtureRequest) -> Sent:
    return Sent(*request.param)


def test_every_figure_is_what_the_cut_at_that_threshold_has(sent: Sent) -> None:
    tuning = sent.cohort.tuning
    columns = sent.model.prepared(tuning)
    for place, threshold in enumerate(GRID):
        model = sent.cut.at(float(threshold))
        # Rounded: those alike in all that is left differ in the last digit, by their place in the product.
        exact = performance(tuning.outcome, model.risks_of(columns).round(7), model.act_at)
        for name in sent.json["names"]:
            assert sent.json["metrics"][name][place] == pytest.approx(exact[name], abs=1e-6), (
                name,
                threshold,
            )
        for name in ("auroc", "accuracy", "sensitivity"):
            assert sent.json["text"][name][place] == guide.metric_text(name, exact[name])
        needed = features_needed(model)
        there = [feature["name"] for feature in sent.json["features"] if feature["last"] > place]
        assert tuple(there) == needed
        assert sent.json["text"]["features"][place] == str(len(needed))


def test_a_line_of_the_picture_goes_when_its_weights_do(sent: Sent) -> None:
    network = sent.json["network"]
    place_of = sent.model.preparation.feature_of_column
    for place, threshold in enumerate(GRID):
        alive = [part.numpy() for part in mask_of(sent.cut.at(float(threshold))).alive_weights()]
        for layer, start, end, strength, last in network["edges"]:
            columns = place_of == start if layer == 0 else np.arange(alive[layer].shape[1]) == start
            assert (last > place) == alive[layer][end, columns].any()
            assert 0 <= strength <= 1
    assert len(network["edges"]) <= MOST_EDGES


def test_who_is_acted_on_at_every_risk(sent: Sent) -> None:
    tuning = sent.cohort.tuning
    risks = sent.cut.at(float(GRID[4])).risks_of(sent.model.prepared(tuning))
    looked_at = [1] if risks.shape[1] == 2 else range(risks.shape[1])
    for place, at in enumerate(sent.json["actGrid"]):
        for which, k in enumerate(looked_at):
            acted, event = risks[:, k] >= at, tuning.outcome == k
            assert sent.json["acted"][4][place][which] == [
                int((acted & event).sum()),
                int((acted & ~event).sum()),
            ]
    assert sent.json["events"] == [int((tuning.outcome == k).sum()) for k in looked_at]


def test_finished_models_are_points_of_their_own(sent: Sent) -> None:
    candidates: tuple[Candidate, ...] = sent.path.candidates
    assert [one["sparsity"] for one in sent.json["finished"]] == [one.sparsity for one in candidates]
    for one, candidate in zip(sent.json["finished"], candidates, strict=True):
        assert one["metrics"]["auroc"] == candidate.performance.auroc
        assert one["text"]["bytes"] == guide.size_text(candidate.size.bytes)


def test_all_groups_are_in_the_histogram(sent: Sent) -> None:
    assert sum(sent.json["histogram"]["counts"]) == sent.json["groups"]


def test_a_sample_brings_its_interval_and_says_so() -> None:
    sent = Sent(2, "weight", sample=30)
    assert "in a sample of 30 patients" in sent.json["text"]["said"][0]
    pairs = zip(
        sent.json["interval"]["low"],
        sent.json["metrics"]["auroc"],
        sent.json["interval"]["high"],
        strict=True,
    )
    assert all(low <= value <= high for low, value, high in pairs)
    assert Sent(2, "weight").json["interval"] is None


def test_the_plain_slider_shows_what_the_live_one_is_sent(app: AppTest) -> None:
    trained(with_sample(app))
    go(app, "4_threshold")
    study = app.session_state["study"]
    _, live = study.live
    healthy(app.toggle(key="plain").set_value(True).run())
    for place in (0, 40, 150, len(live["thresholds"]) - 1):
        healthy(app.select_slider(key="threshold").set_value(live["thresholds"][place]).run())
        shown = {metric.label: metric.value for metric in app.metric}
        assert shown == {tile["label"]: live["text"][tile["name"]][place] for tile in live["tiles"]}
        assert "the picture said the same" in texts(app)
    assert study.threshold == live["thresholds"][-1]


def test_many_patients_get_a_sample_first_and_then_all(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.shared.work.MANY_PATIENTS", 50)
    monkeypatch.setattr("pages.shared.work.SAMPLE", 40)
    trained(with_sample(app))
    go(app, "4_threshold")
    study = app.session_state["study"]
    first = study.sweeps[study.scoring]
    assert first.sampled == 40
    assert "sample of 40" in " ".join(info.value for info in app.info)
    study.sharpening[study.scoring].future.result(timeout=120)
    healthy(app.run())
    exact = study.sweeps[study.scoring]
    assert exact.sampled is None
    assert not app.info
    cohort, model = study.cohort, study.model
    whole = performance(cohort.tuning.outcome, model.risks_of(model.prepared(cohort.tuning)), model.act_at)
    assert text_of("auroc", exact.table.iloc[0]["auroc"]) == text_of("auroc", whole.auroc)
    assert set(TILES) <= set(exact.table.columns)


def test_a_count_that_failed_is_told_and_can_be_asked_for_again(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pages.shared.work.MANY_PATIENTS", 50)
    monkeypatch.setattr("pages.shared.work.SAMPLE", 40)
    trained(with_sample(app))
    go(app, "4_threshold")
    study = app.session_state["study"]
    study.sharpening[study.scoring].future.result(timeout=120)
    monkeypatch.setattr("medprune.runs.jobs.Job.state", "stopped")
    healthy(app.run())
    assert "was stopped" in " ".join(warning.value for warning in app.warning)
    monkeypatch.undo()
    healthy(app.button(key="count_all").click().run())
    healthy(app.run())
    assert study.sweeps[study.scoring].sampled is None
