"""Where labels disagree, what people answered, and the label that most votes chose."""

import dagster as dg

from m2v import schemas
from m2v.annotation import agreement, routing, voting
from m2v.catalog.entries import Source, Study
from m2v.catalog.variants import Alignment
from m2v.datasets import readers
from m2v_assets.describe import code_version, file_key, key, table_asset
from m2v_resources.sources import Sources
from m2v_resources.tables import Tables


def conflicts(alignment: Alignment, study: Study) -> dg.AssetsDefinition:
    @table_asset(
        schemas.CONFLICTS,
        alignment.name,
        stage="annotation",
        code=code_version("1", study.audit_share, study.audit_seed),
        deps=[key(schemas.PREDICTIONS, alignment.name)],
    )
    def asset(tables: Tables) -> dg.MaterializeResult:
        """Memes that people should look at."""
        predictions = tables.read(schemas.PREDICTIONS, alignment.name)
        rows = routing.conflicts(predictions, audit_share=study.audit_share, seed=study.audit_seed)
        return tables.write(rows, schemas.CONFLICTS, alignment.name)

    return asset


def human_labels(alignment: Alignment, source: Source) -> dg.AssetsDefinition:
    """Answers that were recorded elsewhere; live annotators are a further source behind the same table."""
    recorded = alignment.recorded
    answers_file = [file_key(source, recorded.answers.file)] if recorded.answers else []

    @table_asset(
        schemas.HUMAN_LABELS,
        alignment.name,
        stage="annotation",
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


def voted_labels(alignment: Alignment, study: Study, source: Source) -> dg.AssetsDefinition:
    published = alignment.recorded.votes
    tables_read = (schemas.PREDICTIONS, schemas.CONFLICTS, schemas.HUMAN_LABELS)

    @table_asset(
        schemas.VOTED_LABELS,
        alignment.name,
        stage="annotation",
        code=code_version("1", study.min_answers),
        checks=(
            "humans_decide_alone",
            "undecided",
            "agreed_error",
            *(["equals_published"] if published else []),
        ),
        deps=[
            *(key(table, alignment.name) for table in tables_read),
            *([file_key(source, published.file)] if published else []),
        ],
    )
    def asset(tables: Tables, sources: Sources) -> dg.MaterializeResult:
        """One final label per meme: who decided it, and by how much."""
        predictions, conflicts, answers = (tables.read(table, alignment.name) for table in tables_read)
        votes = voting.majority(predictions, answers, min_answers=study.min_answers)
        findings = voting.voting_findings(
            votes,
            predictions,
            answers,
            variant=alignment.name,
            published=readers.recorded_votes(alignment, files=sources.find(source)) if published else None,
        )
        findings.append(routing.agreed_error(conflicts, answers, variant=alignment.name))
        return tables.write(votes, schemas.VOTED_LABELS, alignment.name, findings=findings)

    return asset
