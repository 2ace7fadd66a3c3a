"""Where labels disagree, what people answered, and the label that most votes chose."""

from collections.abc import Iterator

import dagster as dg

from m2v import schemas
from m2v.annotation import agreement, alarms, routing, voting
from m2v.datasets import readers
from m2v.entries.datasets import Source
from m2v.entries.study import Study
from m2v.entries.variants import Alignment, variant
from m2v_assets.describe import (
    OWNERS,
    code_version,
    file_key,
    key,
    named,
    observed,
    outages_waited_for,
    spec,
    table_asset,
    tags_of,
)
from m2v_resources.annotators.annotators import Annotators
from m2v_resources.store.sources import Sources
from m2v_resources.store.tables import Tables


def conflicts(alignment: Alignment, study: Study) -> dg.AssetsDefinition:
    @table_asset(
        schemas.CONFLICTS,
        alignment.name,
        stage="annotation",
        of=named(alignment),
        code=code_version("1", audit_share=study.audited_share, audit_seed=study.audit_seed),
        deps=[key(schemas.PREDICTIONS, alignment.name)],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Memes that people should look at."""
        predictions = tables.read(schemas.PREDICTIONS, alignment.name)
        rows = routing.conflicts(predictions, audit_share=study.audited_share, seed=study.audit_seed)
        return tables.write(rows, schemas.CONFLICTS, alignment.name)

    return asset


def human_labels(alignment: Alignment, source: Source) -> dg.AssetsDefinition:
    """Answers that were recorded elsewhere; ``live_labels`` are the same table from people asked in rounds."""
    recorded = alignment.recorded
    answers_file = [file_key(source, recorded.answers.file)] if recorded.answers else []

    @table_asset(
        schemas.HUMAN_LABELS,
        alignment.name,
        stage="annotation",
        of=named(alignment),
        code=code_version("2", recorded.answers),
        checks=("humans_side_with_model", "annotator_agreement"),
        deps=[key(schemas.CONFLICTS, alignment.name), *answers_file],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """One answer per annotator and conflict."""
        conflicts = tables.read(schemas.CONFLICTS, alignment.name)
        answers = readers.recorded_answers(alignment, files=sources.find(source))
        rows = routing.answered(answers, conflicts=conflicts)
        findings = agreement.answer_findings(rows, conflicts, variant=alignment.name)
        return tables.write(rows, schemas.HUMAN_LABELS, alignment.name, findings=findings)

    return asset


def answers(alignment: Alignment) -> dg.AssetsDefinition:
    """Yield what people have answered so far, in Label Studio; pulling records its hash as its data version."""
    about = dg.AssetSpec(
        key("answers", alignment.name),
        group_name="annotation",
        description=f"{named(alignment)}. Answers in Label Studio: `m2v rounds pull`, or the sensor poll_rounds.",
        owners=OWNERS,
        kinds={"labelstudio"},
        tags=tags_of("annotation", "answers"),
    )

    @observed(f"answers__{alignment.name}", [about])
    def asset(annotators: Annotators) -> Iterator[dg.ObserveResult]:
        version = annotators.version(alignment.name)
        yield dg.ObserveResult(asset_key=about.key, data_version=dg.DataVersion(version))

    return asset


def rounds(alignment: Alignment, study: Study, source: Source) -> dg.AssetsDefinition:
    gold = alignment.recorded.gold
    label = alignment.target.label

    @table_asset(
        schemas.ROUNDS,
        alignment.name,
        stage="annotation",
        of=named(alignment),
        code=code_version("2", rounds=study.rounds, policy=label, gold=gold),
        checks=("annotators_on_gold", "annotators_follow_original", "annotators_too_fast"),
        kinds=frozenset({"labelstudio", "polars"}),
        deps=[
            key(schemas.MEMES, variant(alignment.memes.name)),
            key(schemas.CONFLICTS, alignment.name),
            key("answers", alignment.name),
            *([key(schemas.MEME_IMAGES, variant(alignment.memes.name))] if study.rounds.pictures else []),
            *([file_key(source, gold.file)] if gold else []),
        ],
    )
    def asset(
        context: dg.AssetExecutionContext, tables: Tables, sources: Sources, annotators: Annotators
    ) -> dg.MaterializeResult:
        """One round of questions to people; opens what is to be asked, and ends what is answered."""
        conflicts = tables.read(schemas.CONFLICTS, alignment.name)
        memes = tables.read(schemas.MEMES, variant(alignment.memes.name))
        known = readers.gold_labels(alignment, files=sources.find(source)).join(memes, on="meme_id", how="semi")
        pictures = _pictures(alignment, study, tables)
        with outages_waited_for(context):
            opened = annotators.open(alignment, study, conflicts=conflicts, memes=memes, gold=known, pictures=pictures)
        report = alarms.per_annotator(opened.judged.answers, opened.items, conflicts, skips=opened.judged.skips)
        findings = alarms.findings(report, study.rounds, variant=alignment.name)
        return tables.write(
            opened.rounds,
            schemas.ROUNDS,
            alignment.name,
            findings=findings,
            metadata=alarms.metadata(opened.state, report),
        )

    return asset


def _pictures(alignment: Alignment, study: Study, tables: Tables) -> dict[str, str]:
    """Files of the memes' pictures, relative to the home, by meme id."""
    if not study.rounds.pictures:
        return {}
    images = tables.read(schemas.MEME_IMAGES, variant(alignment.memes.name))
    return dict(images.drop_nulls("path").select("meme_id", "path").iter_rows())


def live_labels(alignment: Alignment) -> dg.AssetsDefinition:
    """Answers, skips and quarantine of people who are asked in rounds."""
    made = (schemas.HUMAN_LABELS, schemas.SKIPS, schemas.QUARANTINED_ANSWERS)
    deps = [key(schemas.CONFLICTS, alignment.name), key("answers", alignment.name)]
    specs = [
        spec(table, alignment.name, stage="annotation", of=named(alignment), code="1", deps=deps) for table in made
    ]
    checks = ("humans_side_with_model", "annotator_agreement")

    @dg.multi_asset(
        name=f"live_labels__{alignment.name}",
        specs=specs,
        check_specs=[dg.AssetCheckSpec(check, asset=specs[0].key) for check in checks],
    )
    def asset(tables: Tables, annotators: Annotators) -> Iterator[dg.MaterializeResult]:
        """Write what Label Studio holds, sorted into what counts and what does not."""
        conflicts = tables.read(schemas.CONFLICTS, alignment.name)
        judged = annotators.judged(alignment.name)
        rows = routing.answered(judged.answers, conflicts=conflicts)
        findings = agreement.answer_findings(rows, conflicts, variant=alignment.name)
        yield tables.write(rows, schemas.HUMAN_LABELS, alignment.name, findings=findings)
        yield tables.write(judged.skips, schemas.SKIPS, alignment.name)
        yield tables.write(judged.quarantined, schemas.QUARANTINED_ANSWERS, alignment.name)

    return asset


def voted_labels(alignment: Alignment, study: Study, source: Source) -> dg.AssetsDefinition:
    published = alignment.recorded.votes
    tables_read = (schemas.PREDICTIONS, schemas.CONFLICTS, schemas.HUMAN_LABELS)
    rule = study.vote_rule

    @table_asset(
        schemas.VOTED_LABELS,
        alignment.name,
        stage="annotation",
        of=named(alignment),
        code=code_version("2", vote=rule.by, min_answers=rule.min_answers, waits=rule.waits),
        checks=(
            "humans_decide_alone",
            "undecided",
            "agreed_error",
            *(["equals_published"] if published else []),
        ),
        deps=[
            *(key(table, alignment.name) for table in tables_read),
            *([key("answers", alignment.name)] if rule.waits else []),  # which rounds are open
            *([file_key(source, published.file)] if published else []),
        ],
    )
    def asset(tables: Tables, sources: Sources, annotators: Annotators) -> dg.MaterializeResult:
        """One final label per meme: who decided it, and by how much."""
        predictions, conflicts, answers = (tables.read(table, alignment.name) for table in tables_read)
        answers = annotators.counted(answers, alignment.name, rule=rule)
        votes = voting.final_labels(predictions, answers, rule=rule)
        known = readers.recorded_votes(alignment, files=sources.find(source))
        findings = voting.voting_findings(
            votes,
            predictions,
            answers,
            variant=alignment.name,
            published=known.join(predictions, on="meme_id", how="semi") if published else None,
        )
        findings.append(routing.agreed_error(conflicts, answers, variant=alignment.name))
        return tables.write(votes, schemas.VOTED_LABELS, alignment.name, findings=findings)

    return asset
